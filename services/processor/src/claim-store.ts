/**
 * The claims of one partition, in memory. Rebuilt by every new owner.
 *
 * N1. What Kafka has and what is merely decided are kept apart: a decision counts at once, but only `set`, once its
 *     transaction is committed, files it. So what is refreshed, and what a checkpoint saves, is committed.
 * N2. No call takes long: the table is in segments, by the first bits of the hash; each grows and is swept by itself.
 * N3. A claim is never dropped before its time. What has expired goes when its segment grows, or is swept.
 * N4. PENDING claims stand aside with their event ids, because they are written again; they hide what the table says.
 * N5. A checkpoint's segment is brought in when it is first asked for something that it alone may know, or when its
 *     turn comes. What was filed meanwhile is newer, and stays.
 */

import { PENDING_PARTS } from './checkpoint.ts'
import { type Claim, type ClaimStanding, isExpired } from './claim.ts'
import { ClaimHash } from './claim-hash.ts'
import { ClaimSegment, ENTRY_BYTES, type SettledClaim } from './claim-segment.ts'
import type { ClaimsBudget } from './claims-budget.ts'

/** Claims that were saved earlier, in the parts that `ClaimStore.parts` gave. */
export interface SavedClaims {
  readonly hashKey: string
  readonly parts: Readonly<Record<string, { readonly bytes: number }>>
  /** A part's bytes; throws `SP_RESTORE` when they cannot be had. */
  part(id: string): Uint8Array
}

const SEGMENT_BITS = 6
/** Parts of the table. */
export const SEGMENTS = 2 ** SEGMENT_BITS
/** A PENDING claim in memory without its event id, bytes. */
const PENDING_BYTES = 250
/** PENDING claims in one part of a checkpoint. */
const PENDING_IN_PART = 1_000

export class ClaimStore {
  readonly #budget: ClaimsBudget
  readonly #hash: ClaimHash
  readonly #segments = Array.from({ length: SEGMENTS }, () => new ClaimSegment())
  readonly #pending = new Map<string, Claim>()
  /** Decided, not yet in Kafka. */
  readonly #decided = new Map<string, Claim>()
  readonly #saved: SavedClaims | undefined
  /** Segments whose saved part is not in memory yet (N5). */
  readonly #unloaded: Set<number>
  /** Segments that have changed since they were saved. */
  #changed = new Set<number>()
  #size = 0
  #bytes = 0
  #sweptLast = 0
  #closed = false

  constructor(budget: ClaimsBudget, saved?: SavedClaims) {
    this.#budget = budget
    this.#saved = saved
    this.#hash = new ClaimHash(saved?.hashKey)
    this.#unloaded = new Set(
      this.#segments.keys().filter(index => saved?.parts[segmentPart(index)] !== undefined),
    )
    // Read before anything is counted: a damaged part throws, and what is half made is never closed.
    for (const [eventId, claim] of pendingIn(saved)) this.set(eventId, claim, 0)
    for (const segment of this.#segments) this.#addBytes(segment.bytes)
  }

  /** Claims that Kafka has, expired ones that are not yet swept included. */
  get size(): number {
    const saved = this.#unloaded.values().map(index => this.#saved?.parts[segmentPart(index)]?.bytes ?? 0)
    return this.#size + this.#pending.size + saved.reduce((sum, bytes) => sum + bytes, 0) / ENTRY_BYTES
  }

  /** The key of the hashes that its parts go by. */
  get hashKey(): string {
    return this.#hash.key
  }

  /** Memory that they take. */
  get bytes(): number {
    return this.#bytes
  }

  /** Whether the process has memory for more claims. */
  get hasRoom(): boolean {
    return !this.#budget.isSpent
  }

  /** The claim of an event id that holds at `now`. */
  get(eventId: string, now: number): ClaimStanding | undefined {
    const waiting = this.#decided.get(eventId) ?? this.#pending.get(eventId)
    if (waiting !== undefined) return isExpired(waiting, now) ? undefined : waiting
    const claim = this.#settled(this.#hash.of(eventId))
    if (claim === undefined || claim.expiresAt <= now) return undefined
    const { dead, generation, attempt } = claim
    return { state: dead ? 'DEAD' : 'DONE', generation, attempt }
  }

  /** Takes a claim into account whose transaction is still to come (N1). */
  decide(eventId: string, claim: Claim): void {
    this.#decided.set(eventId, claim)
  }

  /** Files a claim that Kafka has. `now` is the brokers' clock, ms since the epoch. */
  set(eventId: string, claim: Claim, now: number): void {
    if (this.#decided.get(eventId) === claim) this.#decided.delete(eventId)
    if (claim.state === 'PENDING') {
      if (!this.#pending.has(eventId)) this.#addBytes(PENDING_BYTES + eventId.length)
      this.#pending.set(eventId, claim)
      return
    }
    this.#forgetPending(eventId)
    const { state, generation, attempt, windowMs, at } = claim
    const hash = this.#hash.of(eventId)
    const settled = { dead: state === 'DEAD', generation, attempt, expiresAt: at + windowMs }
    this.#change(segmentOf(hash), segment => segment.set(hash, settled, now))
  }

  /** Forgets a claim. */
  delete(eventId: string): void {
    this.#forgetPending(eventId)
    const hash = this.#hash.of(eventId)
    this.#load(segmentOf(hash))
    this.#change(segmentOf(hash), segment => segment.delete(hash))
  }

  /** Drops what no longer holds from one segment, each time the next one. */
  sweepNext(now: number): void {
    this.#sweptLast = (this.#sweptLast + 1) % SEGMENTS
    if (!this.#unloaded.has(this.#sweptLast)) this.#resize(this.#sweptLast, segment => segment.rebuild(now))
  }

  /** The claims in Kafka that wait in a retry tier. */
  get pending(): ReadonlyMap<string, Claim> {
    return this.#pending
  }

  /** Brings the next segment of the checkpoint in; false when all are. Throws `SP_RESTORE`. */
  loadNext(): boolean {
    const { value } = this.#unloaded.values().next()
    if (value === undefined) return false
    this.#load(value)
    return true
  }

  /** The segments that have changed since this was asked last. */
  takeChanged(): ReadonlySet<number> {
    const changed = this.#changed
    this.#changed = new Set()
    return changed
  }

  /** They could not be saved. */
  giveBack(changed: ReadonlySet<number>): void {
    for (const index of changed) this.#changed.add(index)
  }

  /**
   * What a checkpoint saves: these segments and all PENDING claims, each part as it is when its turn comes. Saving
   * drops nothing: only the sweep does, by the brokers' clock (N3).
   */
  *parts(changed: ReadonlySet<number>): Generator<readonly [id: string, data: Uint8Array]> {
    for (const index of changed) {
      this.#load(index)
      const entries = (this.#segments[index] as ClaimSegment).entries()
      yield [segmentPart(index), new Uint8Array(entries.buffer, entries.byteOffset, entries.byteLength)]
    }
    let number = 0
    for (let claims = [...this.#pending]; claims.length > 0; claims = claims.slice(PENDING_IN_PART)) {
      const part = JSON.stringify(claims.slice(0, PENDING_IN_PART))
      yield [`${PENDING_PARTS}${number++}`, Buffer.from(part)]
    }
  }

  /** Gives the memory back. */
  close(): void {
    this.#addBytes(-this.#bytes)
    this.#closed = true
  }

  #settled(hash: Uint32Array): SettledClaim | undefined {
    const index = segmentOf(hash)
    const segment = this.#segments[index] as ClaimSegment
    const claim = segment.get(hash)
    if (claim !== undefined || !this.#unloaded.has(index)) return claim
    this.#load(index)
    return segment.get(hash)
  }

  #load(index: number): void {
    if (this.#saved === undefined || !this.#unloaded.has(index)) return
    // A copy: the entries must begin at a whole word.
    const bytes = new Uint8Array(this.#saved.part(segmentPart(index)))
    this.#unloaded.delete(index)
    this.#resize(index, segment => segment.addOlder(new Uint32Array(bytes.buffer)))
  }

  #forgetPending(eventId: string): void {
    if (this.#pending.delete(eventId)) this.#addBytes(-PENDING_BYTES - eventId.length)
  }

  #change(index: number, change: (segment: ClaimSegment) => void): void {
    this.#changed.add(index)
    this.#resize(index, change)
  }

  #resize(index: number, change: (segment: ClaimSegment) => void): void {
    const segment = this.#segments[index] as ClaimSegment
    const { bytes, count } = segment
    change(segment)
    this.#size += segment.count - count
    if (segment.bytes !== bytes) this.#addBytes(segment.bytes - bytes)
  }

  #addBytes(bytes: number): void {
    // What a transaction that was under way still files is nobody's memory any more.
    if (this.#closed) return
    this.#bytes += bytes
    this.#budget.add(bytes)
  }
}

/** The PENDING claims of a checkpoint. Throws `SP_RESTORE`. */
function pendingIn(saved: SavedClaims | undefined): [eventId: string, claim: Claim][] {
  if (saved === undefined) return []
  const ids = Object.keys(saved.parts).filter(id => id.startsWith(PENDING_PARTS))
  return ids.flatMap(id => JSON.parse(Buffer.from(saved.part(id)).toString()) as [string, Claim][])
}

function segmentOf(hash: Uint32Array): number {
  return (hash[0] as number) >>> (32 - SEGMENT_BITS)
}

function segmentPart(index: number): string {
  return `segment/${index}`
}
