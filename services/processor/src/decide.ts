/** Stage 8: what follows from an attempt. Pure. */
import type { AttemptRecord } from '@sallyport/core/attempt'
import type { AttemptResult } from './attempt.ts'
import type { Claim, Round } from './claim.ts'
import type { Failure } from './failure.ts'
import type { Output } from './outputs.ts'

/** What happens with a record. Each names the next action. */
export type Outcome =
  | { readonly kind: 'processed'; readonly outputs: readonly Output[] }
  /** Seen before: nothing is done. */
  | { readonly kind: 'duplicate' }
  /** From a source that the processor does not handle. */
  | { readonly kind: 'ignored' }
  /** Held its position for long: goes to the first tier, under the same attempt number (set-aside.ts). */
  | { readonly kind: 'aside' }
  /** Goes to the tier with this index, 0 is the first. */
  | { readonly kind: 'retry'; readonly tier: number; readonly failure: Failure }
  | { readonly kind: 'dead'; readonly reason: DeadReason; readonly failure: Failure }

/**
 * Why an event was given up: retries used up, no retry can help, the record cannot be read, or its attempts have ended
 * their processes too often.
 */
export type DeadReason = 'exhausted' | 'fatal' | 'poison' | 'crashed'

/** Attempts at an event that may end their process; each costs whatever else runs there. */
const CRASHES_MAX = 3

/**
 * Attempt n that fails goes to tier n; after the last tier comes the dead letter. A wished-for delay picks the
 * shortest tier that is long enough, else the last; it counts as an attempt all the same. `crashes`: how many earlier
 * attempts ended their process.
 */
export function decide(
  result: Exclude<AttemptResult, { kind: 'abandoned' }>,
  round: Round,
  delaysMs: readonly number[],
  crashes = 0,
): Outcome {
  if (result.kind === 'succeeded') return { kind: 'processed', outputs: result.outputs }
  const { failure } = result
  if (failure.kind === 'fatal') return { kind: 'dead', reason: 'fatal', failure }
  if (failure.code === 'SP_HANDLER_CRASHED' && crashes + 1 >= CRASHES_MAX) {
    return { kind: 'dead', reason: 'crashed', failure }
  }
  if (round.attempt > delaysMs.length) return { kind: 'dead', reason: 'exhausted', failure }
  return { kind: 'retry', tier: tierFor(round.attempt, failure.delayMs, delaysMs), failure }
}

/** How many of an event's attempts ended their process. */
export function crashesIn(history: readonly AttemptRecord[]): number {
  return history.filter(({ code }) => code === 'SP_HANDLER_CRASHED').length
}

function tierFor(attempt: number, wishedMs: number | undefined, delaysMs: readonly number[]): number {
  if (wishedMs === undefined) return attempt - 1
  const longEnough = delaysMs
    .map((delayMs, tier) => ({ delayMs, tier }))
    .filter(({ delayMs }) => delayMs >= wishedMs)
    .sort((a, b) => a.delayMs - b.delayMs)
  return longEnough[0]?.tier ?? delaysMs.length - 1
}

/** What the claim of an event becomes with its outcome; null leaves it. `at`: the brokers' clock, ms since the epoch. */
export function claimAfter(outcome: Outcome, round: Round, windowMs: number, at: number): Claim | null {
  const common = { generation: round.generation, windowMs, at }
  switch (outcome.kind) {
    case 'processed':
      return { ...common, state: 'DONE', attempt: round.attempt }
    case 'dead':
      return { ...common, state: 'DEAD', attempt: round.attempt }
    case 'retry':
      return { ...common, state: 'PENDING', attempt: round.attempt + 1 }
    case 'aside':
      return { ...common, state: 'PENDING', attempt: round.attempt }
    case 'duplicate':
    case 'ignored':
      return null
  }
}
