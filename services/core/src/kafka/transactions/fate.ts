/**
 * How the transactions of an id were to end, as its coordinator told this process. A fate never changes: what was told
 * once holds, whoever had the id since.
 *
 * By the state of the id before it was taken over, `last` being its last transaction:
 *
 * | state | a transaction that is open in a partition was |
 * |---|---|
 * | `PrepareCommit`, `CompleteCommit` | committed |
 * | `PrepareAbort`, `CompleteAbort`, `PrepareEpochFence` | aborted if it is `last`, else committed |
 * | `Ongoing` | aborted with it if it is `last`, else committed |
 * | `Empty`, version 1 | committed: an owner asks for the next epoch behind each commit |
 * | any other | not known: somebody took the id over and has written nothing since |
 *
 * Else committed, for an owner that aborts has ended, and its successor looks at all partitions that have a leader before
 * it writes. `last` has the epoch of the id, or the one before: an end takes the id's epoch one further (version 2), and
 * so does a coordinator that aborts for want of time (both versions; seen with Kafka 4.4.0). With version 1 the one before
 * may also be of an earlier transaction, whose owner then gave `last` up; it is taken for `last`.
 */
import type { DescribedTransaction, PartitionProducer } from './describe.ts'
import type { TransactionVersion } from './requests.ts'

export type End = 'commit' | 'abort'

/** Answers kept of one id: each is another take-over. */
const TOLD_MAX = 100

/** What this process was told of the transactions of one id. */
export class Fates {
  readonly #version: TransactionVersion
  readonly #told: DescribedTransaction[] = []
  /** The last that was forgotten. */
  #forgotten: DescribedTransaction | undefined

  constructor(version: TransactionVersion) {
    this.#version = version
  }

  /** The coordinator says this, before the id is taken over. */
  tell(described: DescribedTransaction): void {
    this.#told.push(described)
    if (this.#told.length > TOLD_MAX) this.#forgotten = this.#told.shift()
  }

  get producerIds(): Set<bigint> {
    return new Set(this.#told.map(({ producerId }) => producerId))
  }

  /** The fate of the transaction that a producer has open; undefined where it is not known. */
  of({ producerId, epoch }: Pick<PartitionProducer, 'producerId' | 'epoch'>): End | undefined {
    const covers = (described: DescribedTransaction | undefined): boolean =>
      described?.producerId === producerId && described.epoch >= epoch
    if (covers(this.#forgotten)) return undefined
    for (const described of this.#told) {
      if (!covers(described)) continue
      const end = this.#endIn(described, epoch)
      if (end !== undefined) return end
    }
    return undefined
  }

  #endIn(described: DescribedTransaction, epoch: number): End | undefined {
    switch (described.state) {
      case 'PrepareCommit':
      case 'CompleteCommit':
        return 'commit'
      case 'PrepareAbort':
      case 'CompleteAbort':
      case 'PrepareEpochFence':
        return epoch >= described.epoch - 1 ? 'abort' : 'commit'
      case 'Ongoing':
        return epoch === described.epoch ? 'abort' : 'commit'
      case 'Empty':
        return this.#version === 1 ? 'commit' : undefined
    }
    return undefined
  }
}
