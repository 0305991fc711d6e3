import assert from 'node:assert/strict'
import { decodeState } from '../../chaos/processor/transaction-state.ts'
import { dumpAnswers } from '../../chaos/processor/transactions-report.ts'
import { LogBuilder } from './log-builder.ts'

/** Written by Kafka 4.4's own `TransactionLogKey` and `TransactionLogValue`, in the value's two versions. */
const KEY = '0000001173616c6c79706f72742e6368616f732d32'
const VALUES = [
  '000000000000000000030008000013880200000002001673616c6c79706f72742e6368616f732e636c61696d730000000100000002001373616c6c79706f72742e6368616f732e6f75740000000200000002000000050000019ad4654e660000019ad4654e2c',
  '0001000000000000000300080000138802031773616c6c79706f72742e6368616f732e636c61696d730200000002001473616c6c79706f72742e6368616f732e6f7574030000000200000005000000019ad4654e660000019ad4654e2c03000800000000000000030108000000000000000902020002',
]

describe('the coordinators’ states of transactions', () => {
  const [version0, version1] = VALUES.map(value =>
    decodeState({
      partition: 4,
      offset: 17,
      timestamp: 1764500000358,
      key: String(Buffer.from(KEY, 'hex')),
      value: Buffer.from(value, 'hex'),
    }),
  )

  it('are read in both versions of their record', () => {
    const state = {
      partition: 4,
      offset: 17,
      transactionalId: 'sallyport.chaos-2',
      producerId: 3n,
      epoch: 8,
      status: 'PrepareCommit',
      partitions: ['sallyport.chaos.claims/2', 'sallyport.chaos.out/2', 'sallyport.chaos.out/5'],
      at: 1764500000358,
    }
    assert.deepEqual(version0, { ...state, clientVersion: 0 })
    assert.deepEqual(version1, { ...state, clientVersion: 2 })
  })

  it('are told with the markers of the producer in question, in the order of time', () => {
    const { log } = new LogBuilder('sallyport.chaos.out', 5)
      .write(1764500000350, { epoch: 8 })
      .end(1764500000359, 'COMMIT', { epoch: 9 })
      .end(1764500000360, 'COMMIT', { id: 4n, epoch: 9 })
      .end(1764500009000, 'COMMIT', { epoch: 10 })
    const question = { about: 'chaos/1', producerId: 3n, fromMs: 1764500000350, toMs: 1764500000400 }
    const states = version1 === undefined ? [] : [version1]
    assert.equal(
      dumpAnswers([question], states, log.markers),
      `producer 3, for chaos/1:
    10:53:20.358 __transaction_state/4/17 sallyport.chaos-2 3/8 PrepareCommit, client's version 2, [sallyport.chaos.claims/2, sallyport.chaos.out/2, sallyport.chaos.out/5]
    10:53:20.359 sallyport.chaos.out/5 COMMIT (1, epoch 9, 10:53:20.359, coordinator's epoch 7)`,
    )
  })
})
