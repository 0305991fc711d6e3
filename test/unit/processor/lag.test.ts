import assert from 'node:assert/strict'
import type { PartitionEnds } from '@sallyport/core/kafka/partition-ends'
import { createLog } from '@sallyport/core/log'
import { stableOffsetStalled } from '@sallyport/core/metrics'
import type { InputSpec } from '@sallyport/processor/inputs'
import { LagWatch, lagMs, lagRecords } from '@sallyport/processor/lag'
import { waitFor } from '../../support/wait-for.ts'

const events: InputSpec = { topic: 'events', kind: 'events', delayMs: 0 }
const tier: InputSpec = { topic: 'tier', kind: 'retry', delayMs: 5_000 }

function at(spec: InputSpec, position: number, oldestAt?: number) {
  return { spec, partition: 0, position, oldestAt, now: 60_000, windowMs: 30_000 }
}

describe('lag', () => {
  it('in records is the distance to the end, never negative', () => {
    assert.equal(lagRecords(at(events, 10), 25), 15)
    assert.equal(lagRecords(at(events, 30), 25), 0)
  })

  it('in time is the age of the oldest unsettled record; in a tier it begins when that is due', () => {
    assert.equal(lagMs(at(events, 10, 20_000), 0), 40_000)
    assert.equal(lagMs(at(tier, 10, 20_000), 0), 35_000)
    assert.equal(lagMs(at(tier, 10, 58_000), 0), 0)
  })

  it('where nothing was fetched yet it is the time since the input was caught up', () => {
    assert.equal(lagMs(at(events, 10), 45_000), 15_000)
  })

  it('beyond the window is said once, and again only after the input was within it', async () => {
    const lines: string[] = []
    const log = createLog('test', { write: line => void lines.push(line) })
    log.level = 'warn'
    let looks = 0
    const ends = {
      async read() {
        looks++
        return [{ topic: 'events', partition: 0, highWatermark: 20, stableOffset: 20 }]
      },
      async close() {},
    } as unknown as PartitionEnds
    let waitingMs = 0
    const settings = { lagIntervalMs: 1, stableOffsetStallMs: 60_000 }
    const watch = new LagWatch('late', settings, ends, () => [at(events, 10, 60_000 - waitingMs)], [], log)
    watch.start()
    const said: number[] = []
    for (waitingMs of [30_000, 30_001, 40_000, 1_000, 50_000]) {
      const before = looks
      await waitFor(() => looks >= before + 3)
      said.push(lines.filter(line => line.includes('SP_BEHIND_WINDOW')).length)
    }
    await watch.stop()
    assert.deepEqual(said, [0, 1, 1, 1, 2])
    assert.match(
      lines[0] ?? '',
      /events\/0 has an event that late has left waiting for 30 s, longer than the shortest window of its events, 30 s/,
    )
  })

  it('a stall that two processors of one process see stays told when one of them gives its partitions up', async () => {
    const lines: string[] = []
    const log = createLog('test', { write: line => void lines.push(line) })
    log.level = 'error'
    const ends = {
      read: async () => [{ topic: 'events', partition: 0, highWatermark: 20, stableOffset: 10 }],
      async close() {},
    } as unknown as PartitionEnds
    const settings = { lagIntervalMs: 1, stableOffsetStallMs: 0 }
    const owned = [at(events, 10)]
    let looks = 0
    const progress = () => {
      looks++
      return owned
    }
    const leaver = new LagWatch('leaver', settings, ends, progress, [], log)
    const stayer = new LagWatch('stayer', settings, ends, () => [at(events, 10)], [], log)
    leaver.start()
    stayer.start()
    await waitFor(() => lines.length === 2)
    owned.pop()
    const before = looks
    await waitFor(() => looks >= before + 2)
    assert.deepEqual(await toldBy(), ['stayer'])
    await leaver.stop()
    await stayer.stop()
    assert.deepEqual(await toldBy(), [])
  })

  /** The processors that tell of a stall. */
  async function toldBy(): Promise<unknown[]> {
    const { values } = await stableOffsetStalled.get()
    return values.map(({ labels }) => labels.processor)
  }
})
