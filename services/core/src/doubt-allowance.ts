/** How long doubts may hold readers: a stock of time that they use up, and that comes back at a share of time. */
import type { Clock } from './clock.ts'

export class DoubtAllowance {
  readonly #stockMs: number
  readonly #share: number
  readonly #clock: Clock
  #leftMs: number
  #at: number
  #open = 0

  /** `stockMs` may be used at once; `share`, 0 to 1, of any longer time. Doubts beside each other count once. */
  constructor(stockMs: number, share: number, clock: Clock) {
    this.#stockMs = stockMs
    this.#share = share
    this.#clock = clock
    this.#leftMs = stockMs
    this.#at = clock()
  }

  /** What doubts may still take now, ms. */
  get leftMs(): number {
    this.#count()
    return this.#leftMs
  }

  /** A doubt begins. */
  begin(): void {
    this.#count()
    this.#open++
  }

  end(): void {
    this.#count()
    this.#open--
  }

  #count(): void {
    const now = this.#clock()
    const rate = this.#open > 0 ? this.#share - 1 : this.#share
    this.#leftMs = Math.min(this.#stockMs, Math.max(0, this.#leftMs + (now - this.#at) * rate))
    this.#at = now
  }
}
