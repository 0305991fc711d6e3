/**
 * What has become of an event: the worst that the claims of its processors say. The numbers are what the index stores.
 *
 * - waiting: no processor has taken it, and some processor has not come to it yet
 * - passed: every processor has passed it, and no claim says more: its source is not theirs, or its claim has expired
 * - processed: every processor that took it so far is done; others may not have come to it yet
 * - retrying: some processor failed and will try again
 * - dead: some processor gave it up; a redriven event stays dead until it was processed again. A letter of a record that
 *   was misplaced, or could not be read, makes no event dead: its key says nothing of what became of that event
 */
export const OUTCOMES = ['waiting', 'passed', 'processed', 'retrying', 'dead'] as const

export type EventOutcome = (typeof OUTCOMES)[number]

export function outcomeCode(outcome: EventOutcome): number {
  return OUTCOMES.indexOf(outcome)
}

export function outcomeOf(code: number): EventOutcome {
  return OUTCOMES[code] as EventOutcome
}
