/**
 * A part of the claims of one partition: a packed table of 28 bytes an entry, open addressing with linear probing.
 *
 * E1. Entries stand in the order of their second hash word, and between an entry and its home there is no gap. So a
 *     look-up ends at the first greater word, and a rebuilt table is written front to back.
 * E2. Growing means building anew, without what has expired: 9 % larger than what is left, never double. Where as
 *     much expires as comes, it does not grow.
 * E3. Deleting means expiring at once; the next rebuild drops the entry.
 *
 * The second word is the home's because the first one chose the segment.
 *
 *     words 0–3 hash · 4 expiry, low 32 bits · 5 expiry, high 14 bits | attempt 16 | dead 1 | used 1 · 6 generation
 */
import { HASH_WORDS } from './claim-hash.ts'

/** Words of 32 bits in an entry. */
const ENTRY_WORDS = 7
export const ENTRY_BYTES = ENTRY_WORDS * Uint32Array.BYTES_PER_ELEMENT
const EXPIRY = 4
const META = 5
const GENERATION = 6

const USED = 1
const DEAD = 2
const ATTEMPT_SHIFT = 2
const ATTEMPT_MAX = 0xffff
const EXPIRY_SHIFT = 18
const WORD = 2 ** 32
const EXPIRY_MS_MAX = 2 ** 46 - 1

/** Filled so far a table is built anew, and so far it is filled then. */
const FILL_MAX = 0.86
const FILL_REBUILT = 0.78
const CAPACITY_MIN = 8
/** What the JavaScript objects around a table take, bytes. */
const OVERHEAD_BYTES = 256

/** A claim of an event that is not waiting any more. */
export interface SettledClaim {
  readonly dead: boolean
  /** 32 bits of it: it counts operators' actions. */
  readonly generation: number
  /** At most 65,535. */
  readonly attempt: number
  /** Until when it holds, ms since the epoch. */
  readonly expiresAt: number
}

export class ClaimSegment {
  #words = new Uint32Array(0)
  /** Homes; a few slots more stand behind them, so that nothing wraps round. */
  #capacity = 0
  #count = 0

  /** Entries, those that have expired and not been dropped yet included. */
  get count(): number {
    return this.#count
  }

  get bytes(): number {
    return this.#words.byteLength + OVERHEAD_BYTES
  }

  /** The claim under a hash, whether it has expired or not. */
  get(hash: Uint32Array): SettledClaim | undefined {
    const place = this.#find(hash)
    if (!this.#holds(place, hash)) return undefined
    const meta = this.#words[place + META] as number
    return {
      dead: (meta & DEAD) !== 0,
      generation: this.#words[place + GENERATION] as number,
      attempt: (meta >>> ATTEMPT_SHIFT) & ATTEMPT_MAX,
      expiresAt: this.#expiresAt(place),
    }
  }

  /** Files a claim; `now` (ms since the epoch) tells which others may make room. */
  set(hash: Uint32Array, claim: SettledClaim, now: number): void {
    const place = this.#placeFor(hash, now)
    const expiresAt = Math.min(Math.max(0, Math.ceil(claim.expiresAt)), EXPIRY_MS_MAX)
    this.#words[place + EXPIRY] = expiresAt
    this.#words[place + META] =
      (Math.floor(expiresAt / WORD) << EXPIRY_SHIFT) |
      (Math.min(claim.attempt, ATTEMPT_MAX) << ATTEMPT_SHIFT) |
      (claim.dead ? DEAD : 0) |
      USED
    this.#words[place + GENERATION] = claim.generation
  }

  /** Lets a claim expire now. */
  delete(hash: Uint32Array): void {
    const place = this.#find(hash)
    if (!this.#holds(place, hash)) return
    this.#words[place + EXPIRY] = 0
    this.#words[place + META] = USED
  }

  /** Takes earlier entries in, as another table's `entries` gave them: what is here is newer and stays. */
  addOlder(older: Uint32Array): void {
    const newer = this.entries()
    const count = (older.length + newer.length) / ENTRY_WORDS
    this.#build(older, Math.ceil(count / FILL_REBUILT))
    for (let from = 0; from < newer.length; from += ENTRY_WORDS) {
      const entry = newer.subarray(from, from + ENTRY_WORDS)
      // First the place: to make it, the table may have to be built anew.
      const place = this.#placeFor(entry, -1)
      this.#words.set(entry, place)
    }
  }

  /** Drops what has expired, and leaves room for `more` entries. */
  rebuild(now: number, more = 0): void {
    const entries = this.entries(now)
    const wanted = entries.length / ENTRY_WORDS + more
    if (wanted === 0) this.#clear()
    else this.#build(entries, Math.max(CAPACITY_MIN, Math.ceil(wanted / FILL_REBUILT)))
  }

  /** A copy of the entries that hold at `now`, or of all, front to back. */
  entries(now = -1): Uint32Array {
    const words = this.#words
    const entries = new Uint32Array(this.#count * ENTRY_WORDS)
    let length = 0
    for (let place = 0; place < words.length; place += ENTRY_WORDS) {
      if (words[place + META] === 0 || this.#expiresAt(place) <= now) continue
      for (let i = 0; i < ENTRY_WORDS; i++) entries[length + i] = words[place + i] as number
      length += ENTRY_WORDS
    }
    return entries.subarray(0, length)
  }

  #clear(): void {
    this.#words = new Uint32Array(0)
    this.#capacity = 0
    this.#count = 0
  }

  /** Lays entries out anew; they are in order already (E1). */
  #build(entries: Uint32Array, capacity: number): void {
    const slots = capacity + 8 + (capacity >>> 7)
    const words = new Uint32Array(slots * ENTRY_WORDS)
    let slot = 0
    for (let from = 0; from < entries.length; from += ENTRY_WORDS) {
      slot = Math.max(slot, homeOf(entries[from + 1] as number, capacity))
      if (slot >= slots) {
        this.#build(entries, Math.ceil(capacity * 1.1))
        return
      }
      const to = slot * ENTRY_WORDS
      for (let i = 0; i < ENTRY_WORDS; i++) words[to + i] = entries[from + i] as number
      slot++
    }
    this.#words = words
    this.#capacity = capacity
    this.#count = entries.length / ENTRY_WORDS
  }

  /** The place of a hash, which is made where there is none. */
  #placeFor(hash: Uint32Array, now: number): number {
    let place = this.#find(hash)
    if (this.#holds(place, hash)) return place
    if (this.#count + 1 > this.#capacity * FILL_MAX) {
      this.rebuild(now, 1)
      place = this.#find(hash)
    }
    while (!this.#makeRoom(place)) {
      this.#build(this.entries(now), Math.ceil(this.#capacity * 1.1))
      place = this.#find(hash)
    }
    for (let i = 0; i < HASH_WORDS; i++) this.#words[place + i] = hash[i] as number
    this.#count++
    return place
  }

  /** The place of a hash, or the one where it would have to go. */
  #find(hash: Uint32Array): number {
    const words = this.#words
    const second = hash[1] as number
    let place = homeOf(second, this.#capacity) * ENTRY_WORDS
    while (place < words.length && words[place + META] !== 0) {
      const found = words[place + 1] as number
      if (found > second || (found === second && this.#holds(place, hash))) break
      place += ENTRY_WORDS
    }
    return place
  }

  #holds(place: number, hash: Uint32Array): boolean {
    const words = this.#words
    if (place >= words.length || words[place + META] === 0) return false
    for (let i = 0; i < HASH_WORDS; i++) if (words[place + i] !== hash[i]) return false
    return true
  }

  /** Moves the entries from a place to the next gap up by one; false where there is none. */
  #makeRoom(place: number): boolean {
    const words = this.#words
    let gap = place
    while (gap < words.length && words[gap + META] !== 0) gap += ENTRY_WORDS
    if (gap >= words.length) return false
    words.copyWithin(place + ENTRY_WORDS, place, gap)
    return true
  }

  #expiresAt(place: number): number {
    return (
      ((this.#words[place + META] as number) >>> EXPIRY_SHIFT) * WORD +
      (this.#words[place + EXPIRY] as number)
    )
  }
}

function homeOf(word: number, capacity: number): number {
  return Math.floor((word / WORD) * capacity)
}
