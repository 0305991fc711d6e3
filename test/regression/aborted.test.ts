import assert from 'node:assert/strict'
import {
  type FetchedMessage,
  type FetchedPartition,
  markAborted,
} from '@sallyport/core/kafka/kafkajs-aborted'
import committed from 'kafkajs/src/consumer/filterAbortedMessages.js'

function record(
  offset: number,
  producerId: string,
  inTransaction = true,
  key = Buffer.from('key'),
): FetchedMessage {
  return { offset: String(offset), key, isControlRecord: false, batchContext: { producerId, inTransaction } }
}

function abortMarker(offset: number, producerId: string): FetchedMessage {
  return { ...record(offset, producerId), key: Buffer.from([0, 0, 0, 0]), isControlRecord: true }
}

function handedOver(partition: FetchedPartition): number[] {
  markAborted(partition)
  return committed(partition)
    .filter(({ isControlRecord }) => !isControlRecord)
    .map(({ offset }) => Number(offset))
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
    assert.deepEqual(handedOver(partition), [102, 105, 108, 109])
  })

  it('takes no record for the end of an aborted transaction whose key looks like an abort marker’s', () => {
    // Setup: an aborted transaction, one of whose keys is four zero bytes, as an integer 0 is. Proves: nothing of it is
    // handed over, and another producer's record with that key is.
    const zeros = Buffer.alloc(4)
    const partition: FetchedPartition = {
      abortedTransactions: [{ producerId: '1', firstOffset: '10' }],
      messages: [
        record(10, '1'),
        record(11, '1', true, zeros),
        record(12, '1'),
        record(13, '2', true, zeros),
        abortMarker(14, '1'),
        record(15, '1'),
      ],
    }
    assert.deepEqual(handedOver(partition), [13, 15])
  })
})
