import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Outcome } from '@sallyport/processor/decide'
import { TransactionSize } from '@sallyport/processor/transaction-size'
import { settlementOf, takenEvents, testSettleQueue } from '../../support/settle-queue.ts'

const PROCESSED: Outcome = { kind: 'processed', outputs: [] }

/** An outcome with an output to each of these partitions. */
function emittedTo(...partitions: number[]): Outcome {
  const outputs = partitions.map(partition => {
    return { topic: 'out', partition, key: Buffer.from('k'), value: Buffer.alloc(1), type: 't' }
  })
  return { kind: 'processed', outputs }
}

function emitted(bytes: number): Outcome {
  const output = { topic: 'out', partition: 0, key: Buffer.from('k'), value: Buffer.alloc(bytes), type: 't' }
  return { kind: 'processed', outputs: [output] }
}

describe('outcomes that wait to be settled', () => {
  it('are settled in the order in which they were decided, whatever the offsets (Q1)', async () => {
    const { queue, intake, written } = testSettleQueue()
    const decided = takenEvents(intake, 4_500).reverse()
    for (const eventRecord of decided) queue.add(settlementOf(eventRecord, PROCESSED))
    await queue.idle()
    assert.deepEqual(
      written.flatMap(({ claimed }) => claimed),
      decided.map(({ event }) => event.id),
    )
    assert.deepEqual(
      written.map(({ claimed }) => claimed.length),
      [2_000, 2_000, 500],
    )
  })

  it('are passed by a position only in the transaction that settles them (Q2)', async () => {
    const { queue, intake, written } = testSettleQueue()
    const taken = takenEvents(intake, 4_500)
    for (const eventRecord of taken) queue.add(settlementOf(eventRecord, PROCESSED))
    await queue.idle()
    assert.deepEqual(
      written.map(({ position }) => position),
      [2_000, 4_000, 4_500],
    )
  })

  it('are not settled any more after a failure (Q3)', async () => {
    const { queue, intake, written, failed } = testSettleQueue(() => Promise.reject(new Error('fenced')))
    const taken = takenEvents(intake, 4_500)
    for (const eventRecord of taken) queue.add(settlementOf(eventRecord, PROCESSED))
    await failed
    queue.refresh()
    await queue.idle()
    assert.equal(written.length, 1)
  })

  it('stop the intake by their bytes, what they emitted included, until they are settled (T5)', async () => {
    // Proves that also the outcomes of a transaction under way count: it may last, and hold 2,000 of them.
    const commit = Promise.withResolvers<void>()
    const { queue, intake } = testSettleQueue(() => commit.promise, 1_000_000)
    const taken = takenEvents(intake, 12)
    for (const eventRecord of taken.slice(0, 9)) queue.add(settlementOf(eventRecord, emitted(100_000)))
    assert.equal(queue.hasRoom, true)
    for (const eventRecord of taken.slice(9)) queue.add(settlementOf(eventRecord, emitted(100_000)))
    assert.equal(queue.hasRoom, false)
    while (queue.length > 0) await new Promise(resolve => setImmediate(resolve))
    assert.equal(queue.hasRoom, false)
    commit.resolve()
    await queue.idle()
    assert.equal(queue.hasRoom, true)
  })

  it('are settled in as many transactions as their bytes ask for, in each at least one (T5)', async () => {
    // Proves that a transaction ends in time: with everything that 2,000 handlers may emit it would be aborted by the
    // broker, and the same handlers would run again, for ever.
    const { queue, intake, written } = testSettleQueue()
    const MIB = 2 ** 20
    const sizes = [3, 3, 3, 20, 1]
    for (const [i, eventRecord] of takenEvents(intake, sizes.length).entries()) {
      queue.add(settlementOf(eventRecord, emitted((sizes[i] as number) * MIB)))
    }
    await queue.idle()
    assert.deepEqual(
      written.map(({ claimed }) => claimed.length),
      [2, 1, 1, 1],
    )
  })

  it('are settled in as many transactions as their output partitions ask for, in each at least one (T5)', async () => {
    // Proves that a transaction ends in time also where each output goes to a partition of its own.
    const { queue, intake, written } = testSettleQueue(undefined, undefined, new TransactionSize(10_000, 3))
    const outcomes = [[0, 1], [1, 2], [3], [4, 5, 6, 7], [4]].map(partitions => emittedTo(...partitions))
    for (const [i, eventRecord] of takenEvents(intake, outcomes.length).entries()) {
      queue.add(settlementOf(eventRecord, outcomes[i] as Outcome))
    }
    await queue.idle()
    assert.deepEqual(
      written.map(({ claimed }) => claimed.length),
      [2, 1, 1, 1],
    )
  })

  it('are settled in smaller transactions after one ran out of time, in the stays that follow (T5)', async () => {
    // Timeline: a transaction takes all 8 outcomes, lasts for as long as it may, and fails; the partition's next owner has
    // the same 8 before it. Proves: what was too slow once is not tried again as it was.
    const size = new TransactionSize(50, 8)
    const late = () => sleep(60).then(() => Promise.reject(new Error('ran out of time')))
    const outcomes = Array.from({ length: 8 }, (_, partition) => emittedTo(partition))
    const stay = (transact?: () => Promise<void>) => {
      const made = testSettleQueue(transact, undefined, size)
      for (const [i, eventRecord] of takenEvents(made.intake, 8).entries()) {
        made.queue.add(settlementOf(eventRecord, outcomes[i] as Outcome))
      }
      return made
    }
    const first = stay(late)
    await first.failed
    const second = stay()
    await second.queue.idle()
    assert.deepEqual(
      [...first.written, ...second.written].map(({ claimed }) => claimed.length),
      [8, 4, 4],
    )
  })

  it('stop the intake by their number', () => {
    const { queue, intake } = testSettleQueue()
    for (const eventRecord of takenEvents(intake, 5_000)) queue.add(settlementOf(eventRecord, PROCESSED))
    assert.equal(queue.hasRoom, false)
  })
})
