/**
 * Certificates and keys that senders publish, remembered. A request names what it wants, so everything is bounded:
 * what is kept, what failed, and how much is fetched at once. Callers check the address before they ask.
 */

const KEPT_MAX = 64
const FAILED_MAX = 256
const FETCHING_MAX = 8
const FAILED_MS = 30_000

interface Kept<T> {
  readonly value: T
  readonly untilMs: number
}

/** Loads by name, at most once per name and period. */
export class KeyCache<T> {
  readonly #load: (name: string) => Promise<T>
  readonly #keepMs: number
  readonly #kept = new Map<string, Kept<T>>()
  readonly #failed = new Map<string, number>()
  readonly #fetching = new Map<string, Promise<T | null>>()

  constructor(load: (name: string) => Promise<T>, keepMs: number) {
    this.#load = load
    this.#keepMs = keepMs
  }

  /** What is known now, without fetching; undefined where nothing is. */
  peek(name: string, nowMs: number): T | undefined {
    const kept = this.#kept.get(name)
    return kept === undefined || kept.untilMs <= nowMs ? undefined : kept.value
  }

  /** The value, or null where it cannot be had now: it failed a moment ago, or too much is being fetched. */
  async get(name: string, nowMs: number): Promise<T | null> {
    const known = this.peek(name, nowMs)
    if (known !== undefined) return known
    const failedUntil = this.#failed.get(name)
    if (failedUntil !== undefined && failedUntil > nowMs) return null
    const running = this.#fetching.get(name)
    if (running !== undefined) return running
    if (this.#fetching.size >= FETCHING_MAX) return null
    const fetching = this.#fetch(name, nowMs)
    this.#fetching.set(name, fetching)
    return fetching
  }

  async #fetch(name: string, nowMs: number): Promise<T | null> {
    try {
      const value = await this.#load(name)
      keep(this.#kept, KEPT_MAX, name, { value, untilMs: nowMs + this.#keepMs })
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

function keep<V>(map: Map<string, V>, max: number, name: string, value: V): void {
  map.delete(name)
  map.set(name, value)
  const oldest = map.keys().next()
  if (map.size > max && oldest.done !== true) map.delete(oldest.value)
}
