/**
 * What became of what operations sent into one partition of a redrive lane, where no claim tells: it is settled when the
 * processor's position has passed it, unless it expired before. The processor notes beside its positions what expired,
 * and the audit tells between which ends of the lane a letter was sent.
 */
import type { Operation, Progress } from '@sallyport/core/audit'
import type { LostRange } from '@sallyport/processor/claims-record'
import { CLOCKS_DIFFER_MS } from './horizon.ts'

export interface Lane {
  /** How far the processor has settled it; undefined where it never ran. */
  readonly settled: number | undefined
  /** What expired before it was processed, as far as that is known. */
  readonly lost: LostRange | undefined
  /** Whether nothing waits in it; asked only where events of other partitions go. */
  isIdle: boolean
}

/** A letter on its way: `offset` is its own, or its event's for a replay; `fromElsewhere`: sent from another partition. */
export interface Passage {
  readonly offset: number
  readonly home: number
  readonly fromElsewhere: boolean
}

export class LaneFate {
  readonly #operations: readonly Operation[]
  /** Operation → the progress of its batches, where something was lost. */
  readonly #batches = new Map<number, readonly Progress[]>()

  /** `operations`: those of the processor, oldest first. */
  constructor(operations: readonly Operation[]) {
    this.#operations = operations
  }

  /** Asks for the batches of the operations that may have lost something. */
  async prepare(
    home: number,
    lost: LostRange,
    batchesOf: (operation: Operation) => Promise<readonly Progress[]>,
  ): Promise<void> {
    for (const operation of this.#operations) {
      const end = operation.progress.get(home)?.laneEnd ?? 0
      if (end > lost.from && this.#startOf(operation, home) < lost.until && !this.#batches.has(operation.id))
        this.#batches.set(operation.id, await batchesOf(operation))
    }
  }

  of(lane: Lane | undefined, operation: Operation, passage: Passage): 'waiting' | 'passed' | 'lost' {
    if (lane?.settled === undefined) return 'waiting'
    const end = operation.progress.get(passage.home)?.laneEnd ?? 0
    if (passage.fromElsewhere ? !lane.isIdle : lane.settled < end) return 'waiting'
    if (lane.lost === undefined || operation.startedAt > lane.lost.at + CLOCKS_DIFFER_MS) return 'passed'
    const [from, until] = this.#place(operation, passage, end)
    return from < lane.lost.until && until > lane.lost.from ? 'lost' : 'passed'
  }

  /** Between which offsets of the lane a letter was sent. */
  #place(operation: Operation, { offset, home, fromElsewhere }: Passage, end: number): [number, number] {
    const start = this.#startOf(operation, home)
    if (fromElsewhere) return [start, Number.POSITIVE_INFINITY]
    let from = start
    for (const { partition, through, laneEnd } of this.#batches.get(operation.id) ?? []) {
      if (partition !== home) continue
      if (offset < through) return [from, laneEnd]
      from = laneEnd
    }
    return [from, end]
  }

  /** Where the lane ended, at least, when an operation began. */
  #startOf({ id }: Operation, home: number): number {
    const ends = this.#operations
      .filter(earlier => earlier.id < id)
      .map(({ progress }) => progress.get(home)?.laneEnd ?? 0)
    return Math.max(0, ...ends)
  }
}
