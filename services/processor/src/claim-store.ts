import { type Claim, isExpired } from './claim.ts'

/** The claims of one partition, in memory. Rebuilt from the claims topic by every new owner. */
export class ClaimStore {
  readonly #claims = new Map<string, Claim>()

  get size(): number {
    return this.#claims.size
  }

  /** The claim of an event id that holds at `now`. */
  get(eventId: string, now: number): Claim | undefined {
    const claim = this.#claims.get(eventId)
    return claim === undefined || isExpired(claim, now) ? undefined : claim
  }

  set(eventId: string, claim: Claim): void {
    this.#claims.set(eventId, claim)
  }

  delete(eventId: string): void {
    this.#claims.delete(eventId)
  }

  /** Forgets what no longer holds. */
  sweep(now: number): void {
    for (const [eventId, claim] of this.#claims) if (isExpired(claim, now)) this.#claims.delete(eventId)
  }

  /** The claims that wait in a retry tier. */
  *pending(): Generator<readonly [string, Claim]> {
    for (const entry of this.#claims) if (entry[1].state === 'PENDING') yield entry
  }
}
