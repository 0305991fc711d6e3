/**
 * Which partitions of a processor are held back in this process, because their tasks fail again and again. Failures count
 * over all stays in the group.
 *
 * Failures are in a row as long as the partition has not come on in between: its task never ran, or it still stood before
 * a record that it had taken when it failed last, or it did not run for a minute. What lies long back does not count.
 */

/** How a task stood when it failed. */
export interface FailedTask {
  /** How long it had run, ms; undefined where it never had acquired its partition. */
  readonly ranMs: number | undefined
  /** Input topic → position, of inputs with records that were taken and not settled. */
  readonly waiting: ReadonlyMap<string, number>
  /** Input topic → position, of all inputs. */
  readonly positions: ReadonlyMap<string, number>
  /** Whether another partition of the processor runs in this process. */
  readonly othersRun: boolean
}

export interface HoldSettings {
  /** Failures in a row from which on a partition is held back. */
  readonly holdBackAfter: number
  /** How long at first, ms. */
  readonly holdBackForMs: number
  /** How long at most, ms. */
  readonly holdBackForMaxMs: number
}

/** A partition is held back. */
export interface Hold {
  /** Failures in a row. */
  readonly failures: number
  readonly forMs: number
}

interface Row {
  readonly failures: number
  readonly holds: number
  /** By `now`: until when it is held back, or when it failed. */
  readonly until: number
  readonly waiting: ReadonlyMap<string, number>
}

/** A task that ran for this long, and came on, was well. */
const GOOD_RUN_MS = 60_000
/** What lies further back does not count. */
const FORGET_MS = 10 * 60_000

export class PartitionHolds {
  readonly #settings: HoldSettings
  readonly #now: () => number
  readonly #rows = new Map<number, Row>()

  /** `now`: a clock that nobody sets, ms. */
  constructor(settings: HoldSettings, now: () => number) {
    this.#settings = settings
    this.#now = now
  }

  /** A partition's task has failed. Says how it is held back; undefined where its failures are too few for that. */
  failed(partition: number, task: FailedTask): Hold | undefined {
    const { holdBackAfter, holdBackForMs, holdBackForMaxMs } = this.#settings
    const now = this.#now()
    const before = this.#rows.get(partition)
    const row =
      before !== undefined && now - before.until < FORGET_MS && !hasComeOn(before, task) ? before : undefined
    const failures = (row?.failures ?? 0) + 1
    const isHeld = failures >= holdBackAfter
    // Where nothing runs the fault is hardly the partition's: say, brokers were away, and will be back.
    const earlier = task.othersRun ? (row?.holds ?? 0) : 0
    const forMs = isHeld ? Math.min(holdBackForMs * 2 ** Math.min(earlier, 30), holdBackForMaxMs) : 0
    const holds = isHeld ? earlier + 1 : 0
    this.#rows.set(partition, { failures, holds, until: now + forMs, waiting: task.waiting })
    return isHeld ? { failures, forMs } : undefined
  }

  /** For how long a partition is still held back, ms; 0 where it is not. */
  remainingMs(partition: number): number {
    const row = this.#rows.get(partition)
    return row === undefined ? 0 : Math.max(0, row.until - this.#now())
  }
}

function hasComeOn({ waiting }: Row, { ranMs, positions }: FailedTask): boolean {
  if (ranMs === undefined || ranMs < GOOD_RUN_MS) return false
  return [...waiting].every(([topic, position]) => (positions.get(topic) ?? position) > position)
}
