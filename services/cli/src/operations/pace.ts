import { setTimeout as sleep } from 'node:timers/promises'

/** Keeps work at or below a rate, evenly over time: what was not used of it is not caught up on. */
export class Pace {
  readonly #perSecond: number | undefined
  #nextAt = 0

  /** `perSecond`: undefined: as fast as it goes. */
  constructor(perSecond: number | undefined) {
    this.#perSecond = perSecond
  }

  /** Waits until `count` more may be done. Rejects when `signal` aborts. */
  async wait(count: number, signal: AbortSignal): Promise<void> {
    if (this.#perSecond === undefined) return
    const now = performance.now()
    const waitMs = this.#nextAt - now
    this.#nextAt = Math.max(this.#nextAt, now) + (count / this.#perSecond) * 1_000
    if (waitMs > 0) await sleep(waitMs, undefined, { signal })
  }
}
