import type { Log } from '@sallyport/core/log'
import * as metrics from '@sallyport/core/metrics'

/** Why a processor takes no records: its breaker is open, or an operator paused it. */
export type HoldReason = 'breaker' | 'paused'

const REASONS: readonly HoldReason[] = ['breaker', 'paused']

/**
 * The intake gate of one processor in this process: while anything holds it, its tasks begin no attempt. Fetched
 * records wait in their bounded queues, attempts under way go on, and the group's membership is kept.
 */
export class Gate {
  readonly #processor: string
  readonly #log: Log
  readonly #holds = new Set<HoldReason>()
  /** Tasks that found it shut, in the order in which they asked. */
  readonly #waiting = new Set<() => void>()
  /** The breaker lets one attempt through, as a probe. */
  #ajar = false

  constructor(processor: string, log: Log) {
    this.#processor = processor
    this.#log = log
    for (const reason of REASONS) this.#report(reason, false)
  }

  get holds(): ReadonlySet<HoldReason> {
    return this.#holds
  }

  hold(reason: HoldReason): void {
    if (this.#holds.has(reason)) return
    this.#holds.add(reason)
    this.#report(reason, true)
    this.#log.warn({ reason }, 'the intake is held')
  }

  release(reason: HoldReason): void {
    if (reason === 'breaker') this.#ajar = false
    if (!this.#holds.delete(reason)) return
    this.#report(reason, false)
    this.#log.info({ reason }, 'the intake is released')
    this.#wake()
  }

  /** Lets one attempt through the breaker's hold. */
  letOneThrough(): void {
    this.#ajar = true
    this.#wake()
  }

  /** Whether a task may begin an attempt; where it may not, `wake` is called once when it may. */
  enter(wake: () => void): boolean {
    if (this.#isOpen()) return true
    this.#waiting.add(wake)
    return false
  }

  /** An attempt has begun: what was ajar is shut again. */
  shutBehind(): void {
    this.#ajar = false
  }

  /** Forgets a task that has ended. */
  forget(wake: () => void): void {
    this.#waiting.delete(wake)
  }

  #isOpen(): boolean {
    return this.#holds.size === 0 || (this.#ajar && this.#holds.size === 1 && this.#holds.has('breaker'))
  }

  /** Wakes waiting tasks for as long as the gate is open. */
  #wake(): void {
    for (const wake of [...this.#waiting]) {
      if (!this.#isOpen()) return
      this.#waiting.delete(wake)
      wake()
    }
  }

  #report(reason: HoldReason, held: boolean): void {
    metrics.intakeHeld.set({ processor: this.#processor, reason }, held ? 1 : 0)
  }
}
