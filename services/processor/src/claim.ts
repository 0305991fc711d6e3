/**
 * Stage 6: fresh or duplicate.
 *
 * The state of an event id is absent, PENDING(generation, attempt), DONE or DEAD.
 *
 * | record from | accepted                                                                     |
 * |-------------|------------------------------------------------------------------------------|
 * | events      | only if absent                                                               |
 * | retry tier  | if PENDING with its generation and attempt; if absent, because losing a      |
 * |             | claim must not lose an event                                                 |
 * | redrive     | if absent; if its generation is greater than the claim's, but over DONE only |
 * |             | what is replayed, and only where that took effect before the replay          |
 *
 * A dead letter that is redriven takes effect once: where its sender, another letter or a replay was faster, the id is
 * DONE. Whoever picks letters cannot rule that out, because the id may take effect between his look and the lane.
 */
export type ClaimState = 'PENDING' | 'DONE' | 'DEAD'

/** The dedupe entry of an event id. */
export interface Claim {
  readonly state: ClaimState
  /** Offset in `sallyport.audit` of the redrive or replay that the event belongs to; 0 for its first way through. */
  readonly generation: number
  /** PENDING: the attempt that is awaited. Otherwise: the last attempt. */
  readonly attempt: number
  /** How long it holds after `at`, ms; PENDING claims hold until they are settled. */
  readonly windowMs: number
  /** When it was written, ms since the epoch, the brokers' clock. */
  readonly at: number
}

/** What tells whether a record of the claim's event id is fresh. */
export type ClaimStanding = Pick<Claim, 'state' | 'generation' | 'attempt'>

/** Which of a task's inputs a record came from. */
export type InputKind = 'events' | 'retry' | 'redrive'

/** What a record says of itself. */
export interface Round {
  readonly generation: number
  readonly attempt: number
  /** Generation of the replay on whose behalf it runs: effects of earlier generations do not count. Absent: all count. */
  readonly replay?: number
}

/** Whether a record may be attempted, given the claim of its event id. */
export function isFresh(kind: InputKind, round: Round, claim: ClaimStanding | undefined): boolean {
  if (claim === undefined) return true
  switch (kind) {
    case 'events':
      return false
    case 'retry':
      return (
        claim.state === 'PENDING' && claim.generation === round.generation && claim.attempt === round.attempt
      )
    case 'redrive':
      return claim.state === 'DONE'
        ? claim.generation < (round.replay ?? 0)
        : claim.generation < round.generation
  }
}

/** Whether a claim no longer holds at `now` (ms since the epoch, the brokers' clock). */
export function isExpired(claim: Claim, now: number): boolean {
  return claim.state !== 'PENDING' && claim.at + claim.windowMs <= now
}
