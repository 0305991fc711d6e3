/**
 * Where attempts run that may have ended a process: in processes of their own, so that what they do to these tells whose
 * fault it was, and harms nobody else.
 *
 *     suspects ──▶ a ward with all of them ──ends by itself──▶ one was under way: it is charged
 *                             │                           └──▶ several were: each half in a ward of its own, and so on
 *                             └──▶ each that ends has its result, as anywhere else
 *
 * H4. An attempt is charged with the end of a process only if nothing else was under way there, or if the exception that
 *     ended it carries the attempt's context.
 * H5. A ward that ends with this process, for whatever reason, charges nobody.
 * H6. One ward at a time for each processor: memory is bounded.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '@sallyport/core/log'
import { quarantinedTotal } from '@sallyport/core/metrics'
import type { AttemptResult } from './attempt.ts'
import { crashFailure } from './failure.ts'
import { type Patient, Ward, type WardEnd } from './ward.ts'
import type { WardAttempt, WardSettings } from './ward-messages.ts'

/** An attempt to be made in quarantine. */
export interface Suspect {
  readonly attempt: WardAttempt
  /** It has ended a process before: it shares none. */
  readonly alone: boolean
  /** Aborts when nobody wants the result any more. */
  readonly signal: AbortSignal
  /** Makes it in this process, where no other one can be had. */
  here(): Promise<AttemptResult>
}

interface QuarantinedSuspect extends Patient {
  here(): Promise<AttemptResult>
}

/** Wards that may not come up, one after the other, before attempts are made without one. */
const STARTS_MAX = 3
const START_PAUSE_MS = 1_000

export class Quarantine {
  readonly #settings: WardSettings
  readonly #processor: string
  readonly #hangMs: number
  readonly #log: Log
  /** Suspects that share a ward with nobody else. */
  #groups: QuarantinedSuspect[][] = []
  /** Suspects that wait for the next ward. */
  #waiting: QuarantinedSuspect[] = []
  #ward: Ward | undefined
  /** Whether the ward takes more. */
  #isOpen = false
  #working = false
  #closed = false
  #failedStarts = 0

  /** `hangMs`: how long an attempt may compute without awaiting before its ward is ended. */
  constructor(settings: WardSettings, processor: string, hangMs: number, log: Log) {
    this.#settings = settings
    this.#processor = processor
    this.#hangMs = hangMs
    this.#log = log
  }

  /** Makes an attempt. Its result is that of any attempt; one that ended its ward has failed as crashed. */
  run({ attempt, alone, signal, here }: Suspect): Promise<AttemptResult> {
    quarantinedTotal.inc({ processor: this.#processor })
    return new Promise(resolve => {
      const abandon = (): void => {
        suspect.end({ kind: 'abandoned' })
        this.#ward?.cut(suspect)
      }
      const suspect: QuarantinedSuspect = {
        attempt,
        isDone: false,
        end(result) {
          suspect.isDone = true
          signal.removeEventListener('abort', abandon)
          resolve(result)
        },
        here,
      }
      if (signal.aborted || this.#closed) return suspect.end({ kind: 'abandoned' })
      signal.addEventListener('abort', abandon)
      if (alone) this.#groups.push([suspect])
      else if (this.#isOpen && this.#ward?.takesMore === true) return this.#ward.add(suspect)
      else this.#waiting.push(suspect)
      this.#closeWard()
      void this.#work()
    })
  }

  /** Makes no more; its ward ends. */
  close(): void {
    this.#closed = true
    this.#closeWard()
  }

  #closeWard(): void {
    this.#isOpen = false
    this.#ward?.close()
  }

  async #work(): Promise<void> {
    if (this.#working) return
    this.#working = true
    while (!this.#closed && (this.#groups.length > 0 || this.#waiting.length > 0)) {
      const isOpen = this.#groups.length === 0
      const group = (this.#groups.shift() ?? this.#waiting.splice(0)).filter(({ isDone }) => !isDone)
      if (group.length > 0) await this.#treat(group, isOpen)
    }
    this.#working = false
  }

  async #treat(group: readonly QuarantinedSuspect[], isOpen: boolean): Promise<void> {
    const ward = new Ward(this.#settings, this.#processor, this.#hangMs)
    this.#ward = ward
    this.#isOpen = isOpen
    for (const suspect of group) ward.add(suspect)
    if (!isOpen) ward.close()
    const end = await ward.ended
    this.#ward = undefined
    this.#isOpen = false
    if (!this.#closed) await this.#judge(end, end.underWay as readonly QuarantinedSuspect[])
  }

  async #judge(
    { started, wasAlone, known, how }: WardEnd,
    underWay: readonly QuarantinedSuspect[],
  ): Promise<void> {
    const [first] = underWay
    if (started) this.#failedStarts = 0
    if (first === undefined) return
    if (!started) {
      this.#log.warn({ how }, 'a process for attempts in quarantine did not come up')
      if (++this.#failedStarts >= STARTS_MAX) {
        for (const suspect of underWay) void suspect.here().then(result => suspect.end(result))
        return
      }
      await sleep(START_PAUSE_MS)
      this.#groups.unshift([...underWay])
      return
    }
    this.#log.warn(
      { how, underWay: underWay.map(({ attempt }) => attempt.event.id) },
      'attempts in quarantine ended their process',
    )
    if (known) {
      this.#waiting.unshift(...underWay)
    } else if (underWay.length === 1 && !wasAlone) {
      this.#groups.unshift([first])
    } else if (underWay.length === 1) {
      const failure = crashFailure({ kind: 'retryable', message: `the handler ended its process: ${how}` })
      first.end({ kind: 'failed', failure })
    } else {
      const half = Math.ceil(underWay.length / 2)
      this.#groups.unshift(underWay.slice(0, half), underWay.slice(half))
    }
  }
}
