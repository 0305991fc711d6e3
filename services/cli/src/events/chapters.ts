/** The story of an event as lines of a table: time, processor, what happened. */
import type { ClaimStory, EventStory, OperationStory, Step } from '@sallyport/console/index/story'
import type { AttemptRecord } from '@sallyport/core/attempt'
import type { AuditRecord } from '@sallyport/core/audit'
import { durationText } from '@sallyport/core/duration'
import { colors } from '../colors.ts'
import { operatorText } from '../operations/operator.ts'
import type { Cell } from '../output.ts'

interface Chapter {
  readonly at: number
  readonly processor: string
  readonly what: Cell
}

export function chapters(story: EventStory): Cell[][] {
  const told: Chapter[] = [
    { at: story.acceptedAt, processor: '', what: 'accepted' },
    ...story.operations.map(operationChapter),
    ...story.steps.flatMap(step => stepChapters(step, story)),
    ...story.claims.flatMap(claim => claimChapters(claim, story)),
  ]
  return told
    .sort((a, b) => a.at - b.at)
    .map(({ at, processor, what }) => [new Date(at).toISOString(), processor, what])
}

function stepChapters(step: Step, story: EventStory): Chapter[] {
  const { at, processor } = step
  switch (step.kind) {
    case 'retry':
      return [{ at, processor, what: `${failure(step.failed)}; waits in tier ${step.tier}` }]
    case 'dead letter': {
      const what = `dead letter after attempt ${step.attempt}, ${step.reason}: ${step.code}: ${step.message}`
      return [...attemptsOnlyHere(step, story), { at, processor, what: { text: what, color: colors.red } }]
    }
    case 'redrive': {
      const isDone = story.claims.some(
        claim =>
          claim.processor === processor &&
          claim.generation >= step.generation &&
          claim.outcome === 'processed',
      )
      const what = isDone ? 'redriven' : 'sent round again, not processed yet'
      return [{ at, processor, what: `${what} (operation ${step.generation})` }]
    }
  }
}

/** Attempts whose retry records have expired are told by the dead letter's history. */
function attemptsOnlyHere(step: Step & { kind: 'dead letter' }, { steps }: EventStory): Chapter[] {
  const told = new Set(
    steps.flatMap(other => (other.kind === 'retry' && other.failed !== null ? [other.failed.startedAt] : [])),
  )
  return step.attempts
    .filter(({ startedAt }) => !told.has(startedAt))
    .map(attempt => ({
      at: Math.min(attempt.startedAt + attempt.durationMs, step.at),
      processor: step.processor,
      what: failure(attempt),
    }))
}

function failure(attempt: AttemptRecord | null): string {
  if (attempt === null) return 'failed'
  return `attempt ${attempt.attempt} failed after ${durationText(attempt.durationMs)}: ${attempt.code}: ${attempt.message}`
}

/** What the claim says beyond the steps; a dead letter speaks for itself. */
function claimChapters({ processor, outcome, attempt, at }: ClaimStory, story: EventStory): Chapter[] {
  if (outcome === 'processed') {
    return [{ at, processor, what: { text: `processed, attempt ${attempt}`, color: colors.green } }]
  }
  const isTold = story.steps.some(step => step.processor === processor && step.kind !== 'redrive')
  if (isTold) return []
  const what = outcome === 'dead' ? 'dead letter, which has expired' : `waits for attempt ${attempt}`
  return [{ at, processor, what }]
}

function operationChapter({ generation, at, record }: OperationStory): Chapter {
  return { at, processor: '', what: `operation ${generation}: ${operationText(record)}` }
}

/** The audit holds whatever was written to it: another version's records, and a stranger's. */
function operationText(record: unknown): string {
  const { kind, by, why, count } = Object(record) as Partial<AuditRecord>
  if (typeof kind !== 'string' || typeof by !== 'object' || by === null) {
    return 'a record that this version cannot read'
  }
  const reason = typeof why === 'string' && why !== '' ? `: ${why}` : ''
  return `${kind.toLowerCase()} of ${count} records by ${operatorText(by)}${reason}`
}
