import assert from 'node:assert/strict'
import {
  type FetchedMessage,
  type FetchedPartition,
  markAborted,
} from '@sallyport/core/kafka/kafkajs-aborted'
import committed from 'kafkajs/src/consumer/filterAbortedMessages.js'

function record(offset: number, producerId: string, inTransaction = true): FetchedMessage {
  const key = Buffer.from('key')
  return { offset: String(offset), key, isControlRecord: false, batchContext: { producerId, inTransaction } }
}

function abortMarker(offset: number, producerId: string): FetchedMessage {
  return { ...record(offset, producerId), key: Buffer.from([0, 0, 0, 0]), isControlRecord: true }
}

describe('committed reading', () => {
  it('hands over no record of two transactions that were aborted side by side', () => {
    // Setup: two transactions are open at once. Timeline: a fetch begins behind the first records of both; both are
    // aborted, and their producers go on with others. Proves: nothing of the aborted ones is handed over, whatever the
    // order in which the broker names them, and everything else is.
    const partition: FetchedPartition = {
      abortedTransactions: [
        { producerId: '2', firstOffset: '95' },
        { producerId: '1', firstOffset: '90' },
        { producerId: '1', firstOffset: '106' },
      ],
      messages: [
        record(100, '1'),
        record(101, '2'),
        record(102, '3'),
        abortMarker(103, '1'),
        record(104, '2'),
        record(105, '1'),
        record(106, '1'),
        abortMarker(107, '2'),
        record(108, '2'),
        record(109, '2', false),
        abortMarker(110, '1'),
      ],
    }
    markAborted(partition)
    const offsets = committed(partition)
      .filter(({ isControlRecord }) => !isControlRecord)
      .map(({ offset }) => Number(offset))
    assert.deepEqual(offsets, [102, 105, 108, 109])
  })
})
