/**
 * Certificates and keys that senders publish, remembered. A request names what it wants, and anybody can send one, so
 * that everything is bounded. Callers check the name before they ask; one thing has one name.
 *
 * - What has proven a delivery is never evicted by what has not: it stays until its time is over, and is fetched
 *   again before others.
 * - Names that are not known cost at most the rate of look-ups: a token each, few at once, one for all who wait.
 * - What failed is not asked for again for a while; only so many failures are remembered, the latest ones.
 */
import { type Rate, TokenBucket } from '../token-bucket.ts'

const KEPT_MAX = 64
const FAILED_MAX = 256
const FETCHING_MAX = 8
const FAILED_MS = 30_000

/** How often a source may look up keys that it does not know, by default: ten at once, then one a second. */
export const KEY_LOOKUPS: Rate = { perSecond: 1, burst: 10 }

interface Kept<T> {
  readonly value: T
  readonly untilMs: number
}

/** Loads by name, at most once per name and period. */
export class KeyCache<T> {
  readonly #load: (name: string) => Promise<T>
  readonly #keepMs: number
  readonly #bucket: TokenBucket
  /** The least recently used stands first, in all three. */
  readonly #proven = new Map<string, Kept<T>>()
  readonly #kept = new Map<string, Kept<T>>()
  readonly #failed = new Map<string, number>()
  readonly #fetching = new Map<string, Promise<T | null>>()
  #nowMs = 0

  constructor(load: (name: string) => Promise<T>, keepMs: number, lookups: Rate = KEY_LOOKUPS) {
    this.#load = load
    this.#keepMs = keepMs
    this.#bucket = new TokenBucket(lookups, () => this.#nowMs)
  }

  /** What is known now, without fetching; undefined where nothing is. */
  peek(name: string, nowMs: number): T | undefined {
    const map = this.#proven.has(name) ? this.#proven : this.#kept
    const kept = map.get(name)
    if (kept === undefined || kept.untilMs <= nowMs) return undefined
    keep(map, KEPT_MAX, name, kept)
    return kept.value
  }

  /** The value, or null where it cannot be had now: it failed a moment ago, or too much is asked for. */
  async get(name: string, nowMs: number): Promise<T | null> {
    const known = this.peek(name, nowMs)
    if (known !== undefined) return known
    const failedUntil = this.#failed.get(name)
    if (failedUntil !== undefined && failedUntil > nowMs) return null
    const running = this.#fetching.get(name)
    if (running !== undefined) return running
    // What was known before needs no token.
    if (!this.#proven.has(name) && !this.#mayFetch(nowMs)) return null
    const fetching = this.#fetch(name, nowMs)
    this.#fetching.set(name, fetching)
    return fetching
  }

  /** Says that a delivery was proven with what has this name. */
  proved(name: string): void {
    const kept = this.#kept.get(name)
    if (kept === undefined) return
    this.#kept.delete(name)
    keep(this.#proven, KEPT_MAX, name, kept)
  }

  #mayFetch(nowMs: number): boolean {
    this.#nowMs = nowMs
    return this.#fetching.size < FETCHING_MAX && this.#bucket.take() === 0
  }

  async #fetch(name: string, nowMs: number): Promise<T | null> {
    try {
      const value = await this.#load(name)
      const map = this.#proven.has(name) ? this.#proven : this.#kept
      keep(map, KEPT_MAX, name, { value, untilMs: nowMs + this.#keepMs })
      this.#failed.delete(name)
      return value
    } catch {
      keep(this.#failed, FAILED_MAX, name, nowMs + FAILED_MS)
      return null
    } finally {
      this.#fetching.delete(name)
    }
  }
}

/** Keeps a value as the most recently used; the least recently used goes where there are too many. */
function keep<V>(map: Map<string, V>, max: number, name: string, value: V): void {
  map.delete(name)
  map.set(name, value)
  const oldest = map.keys().next()
  if (map.size > max && oldest.done !== true) map.delete(oldest.value)
}
