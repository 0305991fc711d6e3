import assert from 'node:assert/strict'
import type { Outcome } from '@sallyport/processor/decide'
import { settlementOf, takenEvents, testSettleQueue } from '../../support/settle-queue.ts'

const PROCESSED: Outcome = { kind: 'processed', outputs: [] }

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

  it('stop the intake by their number', () => {
    const { queue, intake } = testSettleQueue()
    for (const eventRecord of takenEvents(intake, 5_000)) queue.add(settlementOf(eventRecord, PROCESSED))
    assert.equal(queue.hasRoom, false)
  })
})
