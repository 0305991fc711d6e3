import assert from 'node:assert/strict'
import { type FailedTask, PartitionHolds } from '@sallyport/processor/partition-holds'

const NOTHING: ReadonlyMap<string, number> = new Map()
/** A task that never acquired its partition. */
const NEVER_RAN: FailedTask = { ranMs: undefined, waiting: NOTHING, positions: NOTHING, othersRun: true }

/** A task that ran, and failed with a record at `position` that was not settled. */
function ran(ranMs: number, position: number): FailedTask {
  const at = new Map([['events', position]])
  return { ranMs, waiting: at, positions: at, othersRun: true }
}

describe('partitions that are held back', () => {
  let now: number
  let holds: PartitionHolds
  beforeEach(() => {
    now = 0
    const settings = { holdBackAfter: 3, holdBackForMs: 10_000, holdBackForMaxMs: 35_000 }
    holds = new PartitionHolds(settings, () => now)
  })

  /** How long each failure holds the partition back, s; the next one comes when it is tried again. */
  function seconds(...tasks: readonly FailedTask[]): number[] {
    return tasks.map(task => {
      now += holds.remainingMs(7)
      return (holds.failed(7, task)?.forMs ?? 0) / 1_000
    })
  }

  it('are so from the third failure in a row on, twice as long each time, up to a bound', () => {
    assert.deepEqual(seconds(...Array.from({ length: 6 }, () => NEVER_RAN)), [0, 0, 10, 20, 35, 35])
    assert.equal(holds.remainingMs(7), 35_000)
    assert.equal(holds.remainingMs(8), 0)
    now += 35_000
    assert.equal(holds.remainingMs(7), 0)
  })

  it('stay so where handlers take long, as long as the same record is not settled', () => {
    assert.deepEqual(seconds(ran(300_000, 5), ran(300_000, 5), ran(300_000, 5)), [0, 0, 10])
  })

  it('are counted anew once one has run for a minute and come on', () => {
    assert.deepEqual(
      seconds(ran(60_000, 5), ran(60_000, 5), ran(60_000, 6), ran(1_000, 6), ran(1_000, 7)),
      [0, 0, 0, 0, 10],
    )
  })

  it('are counted anew after ten minutes', () => {
    seconds(NEVER_RAN, NEVER_RAN)
    now += 600_000
    assert.deepEqual(seconds(NEVER_RAN), [0])
  })

  it('are tried again soon while nothing else runs: then it is hardly the partition’s fault', () => {
    const alone = { ...NEVER_RAN, othersRun: false }
    assert.deepEqual(seconds(alone, alone, alone, alone, alone), [0, 0, 10, 10, 10])
  })
})
