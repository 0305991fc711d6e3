import { type LooseEnds, looseEndsOf } from './loose-ends.ts'
import type { Random } from './random.ts'

/** What becomes of an event: stands in its body, so that the agent's handler and the verdict agree on it. */
export interface Fate {
  /** Number of the event. */
  readonly n: number
  /** Attempts that fail before one succeeds; more than there are tiers ends in the dead letter. */
  readonly failures: number
  /** The first attempt fails so that no retry can help. */
  readonly fatal: boolean
  /** Records that the attempt emits which succeeds: the first under the event id, the second under a key of its own. */
  readonly outputs: 1 | 2
  /** How long an attempt takes, ms. */
  readonly takesMs: number
  /** What its handler leaves running. */
  readonly leaves: LooseEnds
  /** Only of events that are redriven. */
  readonly away?: Away
}

/** What the handler of an event needs is away: its attempts fail, it dies, and a redrive brings its end. */
export interface Away {
  /** There for as long as that lasts. */
  readonly file: string
  /** The first attempt fails so that no retry can help. */
  readonly fatal: boolean
}

/** Delays of the agent's retry tiers. */
export const TIERS = ['300ms', '800ms', '2s']
/** How many attempts of a failing event fail, in their shares. */
const FAILURES = [1, 1, 1, 1, 2, 2, 3, TIERS.length + 1, TIERS.length + 1]

export function fateOf(n: number, random: Random): Fate {
  const failing = random.next() < 0.1
  const fatal = failing && random.next() < 0.1
  return {
    n,
    failures: failing && !fatal ? random.pick(FAILURES) : 0,
    fatal,
    outputs: random.next() < 0.1 ? 2 : 1,
    takesMs: random.between(0, 25),
    leaves: looseEndsOf(random),
  }
}

/** Whether the event must end in the dead letter; otherwise in its outputs. */
export function endsDead({ fatal, failures }: Fate): boolean {
  return fatal || failures > TIERS.length
}

/** Number of the attempt that must bring the end. */
export function lastAttempt({ fatal, failures }: Fate): number {
  return fatal ? 1 : Math.min(failures, TIERS.length) + 1
}
