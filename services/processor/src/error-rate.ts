import type { Clock } from '@sallyport/core/clock'

/** How many attempts count at most: an outage is noticed after half as many failures, however busy it is. */
const ATTEMPTS_MAX = 100

/** The share of failures among the last attempts within a window. */
export class ErrorRate {
  readonly #windowMs: number
  readonly #clock: Clock
  readonly #attempts: { readonly at: number; readonly failed: boolean }[] = []
  #failures = 0

  constructor(windowMs: number, clock: Clock) {
    this.#windowMs = windowMs
    this.#clock = clock
  }

  add(failed: boolean): void {
    this.#attempts.push({ at: this.#clock(), failed })
    if (failed) this.#failures++
    if (this.#attempts.length > ATTEMPTS_MAX) this.#dropOldest()
  }

  /** Attempts within the window that count, and how many of them failed. */
  read(): { readonly attempts: number; readonly failures: number } {
    const start = this.#clock() - this.#windowMs
    while ((this.#attempts[0]?.at ?? start) < start) this.#dropOldest()
    return { attempts: this.#attempts.length, failures: this.#failures }
  }

  clear(): void {
    this.#attempts.length = 0
    this.#failures = 0
  }

  #dropOldest(): void {
    if (this.#attempts.shift()?.failed === true) this.#failures--
  }
}
