/**
 * How long the fetches of a consumer wait for a record: as long as the consumer has been quiet, within two limits. A
 * fetch names every partition, and is nearly all that an idle consumer does; the first record ends its wait.
 *
 * M5. What a member pauses, resumes or seeks takes effect with the next fetch. While a place is held that will be read
 *     on, fetches are short.
 * M6. A heartbeat goes out between two fetches. No long one lasts beyond the time when the next heartbeat is due: a
 *     member learns as soon as ever that its group rebalances, and all its brokers' fetches have ended by then.
 * M7. Nobody waits for a fetch once the consumer stops.
 */
import { unlessAborted } from '../unless-aborted.ts'
import { nameOf } from './transactions/requests.ts'

/** How long a fetch waits at least, and so how late a pause or resume takes effect where M5 holds; ms. */
const WAIT_MS_MIN = 100
/** Long enough that idling costs next to nothing: ten times fewer fetches. ms. */
const WAIT_MS_MAX = 1_000

export class FetchWait {
  readonly #heartbeatMs: number
  readonly #now: () => number
  /** Places that are paused and will be resumed, `topic/partition`. */
  readonly #held = new Set<string>()
  readonly #over = new AbortController()
  #movedAt: number
  #beatAt: number

  /** `heartbeatMs`: between two heartbeats. `now`: a clock that never goes back, ms. */
  constructor(heartbeatMs: number, now: () => number = () => performance.now()) {
    this.#heartbeatMs = heartbeatMs
    this.#now = now
    this.#movedAt = now()
    this.#beatAt = now()
  }

  /** For a fetch that begins now. */
  get ms(): number {
    if (this.#held.size > 0) return WAIT_MS_MIN
    const now = this.#now()
    const quietMs = now - this.#movedAt
    const untilHeartbeatMs = this.#beatAt + this.#heartbeatMs - now
    return Math.ceil(Math.max(WAIT_MS_MIN, Math.min(quietMs, untilHeartbeatMs, WAIT_MS_MAX)))
  }

  /** A record came, or what is read has changed. */
  moved(): void {
    this.#movedAt = this.#now()
  }

  /** The coordinator has answered a heartbeat. */
  beaten(): void {
    this.#beatAt = this.#now()
  }

  /** A place is paused, and will be read on in this assignment. */
  held(topic: string, partition: number): void {
    this.#held.add(nameOf({ topic, partition }))
    this.moved()
  }

  /** It is read on, or will not be in this assignment. */
  released(topic: string, partition: number): void {
    this.#held.delete(nameOf({ topic, partition }))
    this.moved()
  }

  /** Another assignment: nothing is held any more. */
  releasedAll(): void {
    this.#held.clear()
    this.moved()
  }

  /** The consumer stops (M7). */
  end(): void {
    this.#over.abort()
  }

  get isOver(): boolean {
    return this.#over.signal.aborted
  }

  /** What a fetch brings; nothing once the consumer stops. */
  async unlessOver<T>(fetched: Promise<T[]>): Promise<T[]> {
    return (await unlessAborted(fetched, this.#over.signal)) ?? []
  }
}
