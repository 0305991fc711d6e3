/**
 * The circuit breaker of one processor in this process. When what the handler depends on is down, attempts can only
 * fail: it holds the intake and probes, instead of moving every event through the retry tiers into the dead letter.
 *
 * | state   | event                                       | becomes | what happens                               |
 * |---------|---------------------------------------------|---------|--------------------------------------------|
 * | closed  | the error rate over the window is too high  | open    | the intake is held for the first pause     |
 * | open    | the pause is over                           | probing | the gate lets one attempt through          |
 * | probing | the probe succeeds                          | closed  | the intake is released                     |
 * | probing | the probe fails                             | open    | held for twice the last pause, up to a max |
 * | probing | the probe says nothing (see B2)             | probing | the gate lets another attempt through      |
 * | any     | an attempt that is no probe ends            | same    | unless closed it is not judged             |
 *
 * B1. A failure is charged (it goes to the next tier) only while the breaker is closed. Failures of attempts that
 *     were under way when it opened, and of probes, are not: their records are put back into the intake and attempted
 *     again later under the same attempt number; in an outage of more than a quarter of the window they wait for that in
 *     the first tier (set-aside.ts). So an outage costs an event at most the attempts before the breaker
 *     opened, and never its place.
 * B2. Only failures that blame a dependency count (failure.ts): time-outs, failed connections, 5xx, 408, 425
 *     and 429. Not what the handler decides by itself (`Fatal`, `RetryLater`), nor attempts that were abandoned.
 * B3. Probes come one at a time, and from put-back and fresh records in turn: an event that always fails cannot keep
 *     the breaker open while others succeed.
 */
import type { Clock } from '@sallyport/core/clock'
import type { Log } from '@sallyport/core/log'
import * as metrics from '@sallyport/core/metrics'
import { ErrorRate } from './error-rate.ts'
import type { Gate } from './gate.ts'

export interface BreakerSettings {
  /** Attempts that are older do not count, ms. */
  readonly windowMs: number
  /** Share of failures from which it opens, 0 to 1. */
  readonly errorRate: number
  /** With fewer attempts in the window it stays closed. */
  readonly attemptsMin: number
  /** How long it waits for the first probe, ms; each probe that fails doubles it. */
  readonly pauseMs: number
  /** Longest wait between probes, ms. */
  readonly pauseMsMax: number
}

/** What an attempt says of the handler's dependencies; `nothing` where it was not about them. */
export type Verdict = 'up' | 'down' | 'nothing'

type State = 'closed' | 'open' | 'probing'

const STATES: readonly State[] = ['closed', 'open', 'probing']

/** An attempt under way, as the breaker knows it. */
export interface Watched {
  readonly isProbe: boolean
}

const WATCHED: Watched = { isProbe: false }
const PROBE: Watched = { isProbe: true }

export class Breaker {
  readonly #processor: string
  readonly #settings: BreakerSettings
  readonly #gate: Gate
  readonly #log: Log
  readonly #clock: Clock
  readonly #rate: ErrorRate
  #state: State = 'closed'
  #pauseMs: number
  #openedAt = 0
  #closedAt = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined

  /** `clock`: monotonic, ms. */
  constructor(processor: string, settings: BreakerSettings, gate: Gate, log: Log, clock: Clock) {
    this.#processor = processor
    this.#settings = settings
    this.#gate = gate
    this.#log = log
    this.#clock = clock
    this.#rate = new ErrorRate(settings.windowMs, clock)
    this.#pauseMs = settings.pauseMs
    this.#become('closed')
  }

  /** An attempt begins. */
  begin(): Watched {
    this.#gate.shutBehind()
    return this.#state === 'probing' ? PROBE : WATCHED
  }

  /** An attempt ended. Whether its failure is charged (B1); where not, its record is put back. */
  end({ isProbe }: Watched, verdict: Verdict): 'charged' | 'put back' {
    if (isProbe && this.#state === 'probing') this.#judgeProbe(verdict)
    else if (this.#state === 'closed' && verdict !== 'nothing') this.#count(verdict === 'down')
    return this.#state === 'closed' || verdict !== 'down' ? 'charged' : 'put back'
  }

  /** Probes no more. */
  stop(): void {
    clearTimeout(this.#timer)
  }

  #count(failed: boolean): void {
    this.#rate.add(failed)
    if (!failed) return
    const { attempts, failures } = this.#rate.read()
    if (attempts < this.#settings.attemptsMin || failures < attempts * this.#settings.errorRate) return
    // Whoever opens soon after it closed was closed by a lucky probe.
    if (this.#clock() - this.#closedAt > this.#settings.windowMs) this.#pauseMs = this.#settings.pauseMs
    this.#openedAt = this.#clock()
    this.#gate.hold('breaker')
    this.#open({ attempts, failures })
  }

  #judgeProbe(verdict: Verdict): void {
    switch (verdict) {
      case 'up':
        this.#close()
        return
      case 'down':
        this.#pauseMs = Math.min(this.#pauseMs * 2, this.#settings.pauseMsMax)
        this.#open({ openForMs: Math.round(this.#clock() - this.#openedAt) })
        return
      case 'nothing':
        this.#gate.letOneThrough()
    }
  }

  #open(why: Readonly<Record<string, number>>): void {
    this.#become('open')
    this.#log.warn(
      { ...why, probeInMs: this.#pauseMs },
      'the breaker is open: attempts fail, so the intake waits for a probe that succeeds',
    )
    this.#timer = setTimeout(() => {
      this.#become('probing')
      this.#gate.letOneThrough()
    }, this.#pauseMs)
  }

  #close(): void {
    this.#become('closed')
    this.#closedAt = this.#clock()
    this.#rate.clear()
    const openForMs = Math.round(this.#closedAt - this.#openedAt)
    this.#log.info({ openForMs }, 'the breaker is closed: a probe succeeded')
    this.#gate.release('breaker')
  }

  #become(state: State): void {
    this.#state = state
    for (const one of STATES) {
      metrics.breakerState.set({ processor: this.#processor, state: one }, one === state ? 1 : 0)
    }
  }
}
