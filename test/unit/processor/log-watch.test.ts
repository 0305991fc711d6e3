import assert from 'node:assert/strict'
import type { FetchedBatch } from '@sallyport/core/kafka/group-consumer'
import { ClaimsBudget } from '@sallyport/processor/claims-budget'
import { LogWatch } from '@sallyport/processor/log-watch'
import { ProcessMemory } from '@sallyport/processor/memory'
import { Input, Intake } from '@sallyport/processor/poll'

const TOPIC = 'events'

function batch(leaderEpoch: number, ...offsets: number[]): FetchedBatch {
  const records = offsets.map(offset => ({
    topic: TOPIC,
    partition: 0,
    offset,
    timestamp: 0,
    key: null,
    value: null,
    headers: {},
  }))
  const nextOffset = (offsets.at(-1) as number) + 1
  return { topic: TOPIC, partition: 0, records, nextOffset, highWatermark: 100, leaderEpoch }
}

describe('the log of an input', () => {
  /** An input whose records up to 4 were read under epoch 1, and what was said of its log. */
  function watched(end: number | undefined) {
    const spec = { topic: TOPIC, kind: 'events', delayMs: 0 } as const
    const input = new Input(spec, {
      offset: 0,
      log: { topicId: 'id', leaderEpoch: -1, readTo: 0, held: null },
    })
    const ends: number[] = []
    const watch = new LogWatch({
      epochEnd: async () => end,
      remade: (_, at) => ends.push(at),
    })
    const intake = new Intake(
      [input],
      { queueRecordsMax: 10, queueBytesMax: 1e6 },
      new ProcessMemory(new ClaimsBudget(1, () => {}), 1e9).join(1),
      { pause() {}, resume() {} },
    )
    const take = async (taken: FetchedBatch) => {
      intake.offer(taken)
      watch.took(input, taken)
      await new Promise(resolve => setImmediate(resolve))
    }
    return { input, intake, ends, take }
  }

  it('goes on under the next leader where that has all that was read', async () => {
    const { input, ends, take } = watched(5)
    await take(batch(1, 3, 4))
    assert.deepEqual(input.log, { topicId: 'id', leaderEpoch: 1, readTo: 5, held: null })
    await take(batch(2, 6, 7))
    assert.deepEqual(input.log, { topicId: 'id', leaderEpoch: 2, readTo: 8, held: null })
    assert.deepEqual(ends, [])
  })

  it('is another one where the next leader lacks records that were read, though it has grown past them', async () => {
    // Setup: records up to 4 were read. Timeline: the intake is held for long; the log loses 3 and 4, gets others, and
    // grows. Proves: it is found out with the first record that is fetched, and the position keeps the epoch by which the
    // next owner finds it out as well.
    const { input, ends, take } = watched(3)
    await take(batch(1, 3, 4))
    await take(batch(2, 5, 6))
    assert.deepEqual(ends, [3])
    assert.equal(input.log?.leaderEpoch, 1)
  })

  it('stays the one before while the leader does not say', async () => {
    const { input, ends, take } = watched(undefined)
    await take(batch(1, 3, 4))
    await take(batch(2, 5))
    assert.deepEqual(ends, [])
    assert.equal(input.log?.leaderEpoch, 1)
  })

  it('is another one where what comes later has an earlier leader’s epoch', async () => {
    const { intake, take } = watched(5)
    await take(batch(1, 3, 4))
    assert.equal(intake.isRemade(batch(0, 5)), true)
    assert.equal(intake.isRemade(batch(1, 5)), false)
    assert.equal(intake.isRemade(batch(0, 3, 4)), false)
  })
})
