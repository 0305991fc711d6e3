/**
 * How far one input of a task is settled. Handlers end in any order; the position only passes a record when it and
 * all before it are settled, so everything below a committed position has taken effect.
 */
export class Watermark {
  /** Offsets taken and not yet passed, ascending, with whether each is settled. */
  readonly #open: { readonly offset: number; readonly timestamp: number; settled: boolean }[] = []
  #first = 0
  #position: number
  #next: number

  /** `position`: offset of the first record that is not settled. */
  constructor(position: number) {
    this.#position = position
    this.#next = position
  }

  /** Takes records in; `next` is the offset after them, which may lie past markers that are no records. */
  take(records: readonly { readonly offset: number; readonly timestamp: number }[], next: number): void {
    for (const { offset, timestamp } of records) this.#open.push({ offset, timestamp, settled: false })
    this.#next = Math.max(this.#next, next)
    this.#advance()
  }

  /** Marks a record that was taken as settled. */
  settle(offset: number): void {
    const entry = this.#open[this.#find(offset)]
    if (entry?.offset !== offset) throw new RangeError(`offset ${offset} was never taken`)
    entry.settled = true
    this.#advance()
  }

  /** Offset of the first record that is not settled. */
  get position(): number {
    return this.#position
  }

  /** Append time of the first record that is not settled, ms; undefined where all that were taken are. */
  get oldestAt(): number | undefined {
    return this.#open[this.#first]?.timestamp
  }

  /** Offset after the last record taken. */
  get next(): number {
    return this.#next
  }

  /** Records taken and not settled, or settled behind one that is not. */
  get open(): number {
    return this.#open.length - this.#first
  }

  #advance(): void {
    while (this.#open[this.#first]?.settled) this.#first++
    const head = this.#open[this.#first]
    this.#position = head === undefined ? this.#next : head.offset
    if (this.#first > 1_024 && this.#first * 2 > this.#open.length) {
      this.#open.splice(0, this.#first)
      this.#first = 0
    }
  }

  /** Index of the first open entry whose offset is at least `offset`. */
  #find(offset: number): number {
    let low = this.#first
    let high = this.#open.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#open[middle] as { offset: number }).offset < offset) low = middle + 1
      else high = middle
    }
    return low
  }
}
