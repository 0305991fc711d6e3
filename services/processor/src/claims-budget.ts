import { SallyportError } from '@sallyport/core/errors'
import type { Settings } from '@sallyport/core/settings'

/** What a claim takes in memory at most, bytes: an entry of 28, the room beside it, and what is around the tables. */
export const CLAIM_BYTES = 40

/** The alarm is raised anew only after the use has fallen below this part of the limit. */
const ALARM_REARMED = 0.95

/**
 * How much memory the claims of one process may take, and do. A claim is never forgotten for want of memory: while
 * the budget is spent the tasks take in no new events, which wait in Kafka until claims expire; retries go on, for a
 * PENDING claim never expires and takes less memory once it is settled. What is read back at an acquisition is taken in
 * any case.
 */
export class ClaimsBudget {
  readonly #bytesMax: number
  readonly #alarm: (error: SallyportError) => void
  #bytes = 0
  #alarmed = false

  constructor(bytesMax: number, alarm: (error: SallyportError) => void) {
    this.#bytesMax = bytesMax
    this.#alarm = alarm
  }

  /** Memory that claims take. */
  get bytes(): number {
    return this.#bytes
  }

  get isSpent(): boolean {
    return this.#bytes >= this.#bytesMax
  }

  /** Takes memory that claims begin to use, or no longer use (negative), into account. */
  add(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes < this.#bytesMax * ALARM_REARMED) this.#alarmed = false
    if (!this.isSpent || this.#alarmed) return
    this.#alarmed = true
    this.#alarm(
      new SallyportError(
        'SP_CLAIMS_MEMORY',
        `the claims take ${this.#bytes} bytes, the limit is ${this.#bytesMax}: no new events are taken until some expire, retries go on; raise processing.claimsBytesMax, shorten the window, or add processes`,
      ),
    )
  }
}

/**
 * Throws `SP_SETTINGS` when the claims of a window at the expected rate would not fit into `claimsBytesMax`. Every processor of a process
 * has claims of its own, and may have to hold those of all partitions when the other processes are gone. A claim that
 * waits for a retry takes some 300 bytes until it is settled: how many wait nobody knows beforehand, so that is not
 * counted here.
 */
export function checkClaimsFit(settings: Settings, processors: number, claimsBytesMax: number): void {
  const { expectedEventsPerSecond } = settings.processing
  if (expectedEventsPerSecond === undefined) return
  const claims = Math.ceil((settings.windowMs / 1_000) * expectedEventsPerSecond) * processors
  const bytes = claims * CLAIM_BYTES
  if (bytes <= claimsBytesMax) return
  const rateMax = Math.floor(claimsBytesMax / CLAIM_BYTES / processors / (settings.windowMs / 1_000))
  throw new SallyportError(
    'SP_SETTINGS',
    `${settings.file}: ${expectedEventsPerSecond} events/s (processing.expectedEventsPerSecond) for ${settings.windowMs / 1_000} s (window) and ${processors} processor${processors === 1 ? '' : 's'} make ${claims} claims of ${CLAIM_BYTES} bytes, ${bytes} bytes in all; claims may take ${claimsBytesMax} (processing.claimsBytesMax, at most four fifths of memoryBytesMax), enough for ${rateMax} events/s: raise it, shorten the window, or run fewer processors in one process`,
  )
}
