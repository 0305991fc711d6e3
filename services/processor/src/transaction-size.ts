/**
 * How much the transactions of a partition may take at once. One that ran out of time must not be tried again as it was,
 * for ever: after it all limits are halved, down to one outcome, also for the stays that follow. They are doubled again
 * while transactions end in a small part of their time.
 */

/** Outcomes in one transaction. */
const OUTCOMES_MAX = 2_000
/** What they may hold, if there are more than one: it is written in batches below a megabyte, one after the other. */
const BYTES_MAX = 8 * 2 ** 20
/** 2,000 outcomes become one after so many. */
const HALVINGS_MAX = 11
/** A failure after this part of the time counts as one for want of time: who was first, the coordinator or we, is chance. */
const LATE = 0.9
/** Twice as much would not take half of the time. */
const QUICK = 1 / 5

export class TransactionSize {
  readonly #timeoutMs: number
  readonly #partitionsMax: number
  #halvings = 0

  /** `timeoutMs`: a transaction's time; `partitionsMax`: output partitions that one writes to. */
  constructor(timeoutMs: number, partitionsMax: number) {
    this.#timeoutMs = timeoutMs
    this.#partitionsMax = partitionsMax
  }

  get outcomesMax(): number {
    return this.#part(OUTCOMES_MAX)
  }

  get bytesMax(): number {
    return this.#part(BYTES_MAX)
  }

  get partitionsMax(): number {
    return this.#part(this.#partitionsMax)
  }

  /** A transaction failed after so long; true where that made the next ones smaller. */
  failed(tookMs: number): boolean {
    if (tookMs < this.#timeoutMs * LATE || this.#halvings === HALVINGS_MAX) return false
    this.#halvings++
    return true
  }

  /** A transaction was committed. */
  committed(tookMs: number): void {
    if (this.#halvings > 0 && tookMs < this.#timeoutMs * QUICK) this.#halvings--
  }

  #part(max: number): number {
    return Math.max(1, Math.floor(max / 2 ** this.#halvings))
  }
}

/** The sizes of a processor's partitions, for as long as the process runs. */
export class TransactionSizes {
  readonly #timeoutMs: number
  readonly #partitionsMax: number
  readonly #sizes = new Map<number, TransactionSize>()

  constructor(timeoutMs: number, partitionsMax: number) {
    this.#timeoutMs = timeoutMs
    this.#partitionsMax = partitionsMax
  }

  of(partition: number): TransactionSize {
    const size = this.#sizes.get(partition) ?? new TransactionSize(this.#timeoutMs, this.#partitionsMax)
    this.#sizes.set(partition, size)
    return size
  }
}
