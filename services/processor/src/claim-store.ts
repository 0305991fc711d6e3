/**
 * The claims of one partition, in memory. Rebuilt by every new owner.
 *
 * K1. What Kafka has and what is merely decided are kept apart: a decision counts at once, but only `set`, once its
 *     transaction is committed, files it. So what is refreshed, and what a checkpoint saves, is committed.
 * K2. No call takes long: the table is in segments, by the first bits of the hash; each grows and is swept by itself.
 * K3. A claim is never dropped before its time. What has expired goes when its segment grows, or is swept.
 * K4. PENDING claims stand aside with their event ids, because they are written again; they hide what the table says.
 */
import { type Claim, type ClaimStanding, isExpired } from './claim.ts'
import { ClaimHash } from './claim-hash.ts'
import { ClaimSegment } from './claim-segment.ts'
import type { ClaimsBudget } from './claims-budget.ts'

const SEGMENT_BITS = 6
/** Parts of the table. */
export const SEGMENTS = 2 ** SEGMENT_BITS
/** A PENDING claim in memory without its event id, bytes. */
const PENDING_BYTES = 250

export class ClaimStore {
  readonly #budget: ClaimsBudget
  readonly #hash = new ClaimHash()
  readonly #segments = Array.from({ length: SEGMENTS }, () => new ClaimSegment())
  readonly #pending = new Map<string, Claim>()
  /** Decided, not yet in Kafka. */
  readonly #decided = new Map<string, Claim>()
  #size = 0
  #bytes = 0
  #sweptLast = 0
  #closed = false

  constructor(budget: ClaimsBudget) {
    this.#budget = budget
    for (const segment of this.#segments) this.#addBytes(segment.bytes)
  }

  /** Claims that Kafka has, expired ones that are not yet swept included. */
  get size(): number {
    return this.#size + this.#pending.size
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
    const hash = this.#hash.of(eventId)
    const claim = this.#segmentOf(hash).get(hash)
    if (claim === undefined || claim.expiresAt <= now) return undefined
    const { dead, generation, attempt } = claim
    return { state: dead ? 'DEAD' : 'DONE', generation, attempt }
  }

  /** Takes a claim into account whose transaction is still to come (K1). */
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
    this.#change(this.#segmentOf(hash), segment => segment.set(hash, settled, now))
  }

  /** Forgets a claim. */
  delete(eventId: string): void {
    this.#forgetPending(eventId)
    const hash = this.#hash.of(eventId)
    this.#segmentOf(hash).delete(hash)
  }

  /** Drops what no longer holds from one segment, each time the next one. */
  sweepNext(now: number): void {
    this.#sweptLast = (this.#sweptLast + 1) % SEGMENTS
    this.#change(this.#segments[this.#sweptLast] as ClaimSegment, segment => segment.rebuild(now))
  }

  /** The claims in Kafka that wait in a retry tier. */
  get pending(): ReadonlyMap<string, Claim> {
    return this.#pending
  }

  /** Gives the memory back. */
  close(): void {
    this.#addBytes(-this.#bytes)
    this.#closed = true
  }

  #segmentOf(hash: Uint32Array): ClaimSegment {
    return this.#segments[(hash[0] as number) >>> (32 - SEGMENT_BITS)] as ClaimSegment
  }

  #forgetPending(eventId: string): void {
    if (this.#pending.delete(eventId)) this.#addBytes(-PENDING_BYTES - eventId.length)
  }

  #change(segment: ClaimSegment, change: (segment: ClaimSegment) => void): void {
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
