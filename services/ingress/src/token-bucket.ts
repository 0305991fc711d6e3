import type { Clock } from '@sallyport/core/clock'

export interface Rate {
  /** How many a second, on average. */
  readonly perSecond: number
  /** How many may come at once after a pause. */
  readonly burst: number
}

/** A rate as settings write it: without a burst, one second's worth may come at once. */
export function rateOf({ perSecond, burst }: { perSecond: number; burst?: number }): Rate {
  return { perSecond, burst: burst ?? Math.max(1, perSecond) }
}

/** A token bucket: filled with `burst` tokens, refilled at `perSecond`, one taken by each delivery or lookup. */
export class TokenBucket {
  readonly #rate: Rate
  readonly #clock: Clock
  #tokens: number
  #filledAt: number

  constructor(rate: Rate, clock: Clock) {
    this.#rate = rate
    this.#clock = clock
    this.#tokens = rate.burst
    this.#filledAt = clock()
  }

  /** Takes a token: 0, or how many ms until there is one. A clock that goes back adds nothing. */
  take(): number {
    const now = this.#clock()
    const elapsedMs = Math.max(0, now - this.#filledAt)
    this.#filledAt = now
    this.#tokens = Math.min(this.#rate.burst, this.#tokens + (elapsedMs * this.#rate.perSecond) / 1_000)
    if (this.#tokens >= 1) {
      this.#tokens -= 1
      return 0
    }
    return Math.ceil(((1 - this.#tokens) * 1_000) / this.#rate.perSecond)
  }
}
