/** What an attempt tells: the trace, the breaker, the event's history and the log. */
import type { AttemptRecord } from '@sallyport/core/attempt'
import type { Log } from '@sallyport/core/log'
import type { AttemptResult } from './attempt.ts'
import type { Verdict } from './breaker.ts'
import type { Outcome } from './decide.ts'
import type { EventRecord } from './decode.ts'

export function spanAttributes({ event, record, round }: EventRecord): Record<string, string | number> {
  return {
    'messaging.system': 'kafka',
    'messaging.destination.name': record.topic,
    'messaging.destination.partition.id': String(record.partition),
    'messaging.kafka.offset': record.offset,
    'sallyport.event.id': event.id,
    'sallyport.source': event.source,
    'sallyport.attempt': round.attempt,
  }
}

export function verdictOf(result: AttemptResult): Verdict {
  if (result.kind === 'succeeded') return 'up'
  return result.kind === 'failed' && result.failure.blamesDependency ? 'down' : 'nothing'
}

/** null: there is nothing to remember of an attempt that did not fail. */
export function attemptRecord(
  result: AttemptResult,
  attempt: number,
  startedAt: number,
  durationMs: number,
): AttemptRecord | null {
  if (result.kind !== 'failed') return null
  return { attempt, startedAt, durationMs, code: result.failure.code, message: result.failure.message }
}

export function logOutcome(
  log: Log,
  outcome: Outcome,
  facts: { durationMs: number; attempts: number },
): void {
  switch (outcome.kind) {
    case 'retry':
      log.info(
        { ...facts, tier: outcome.tier + 1, code: outcome.failure.code, reason: outcome.failure.message },
        'retry',
      )
      return
    case 'dead':
      log.warn(
        { ...facts, because: outcome.reason, code: outcome.failure.code, reason: outcome.failure.message },
        'dead letter',
      )
      return
    default:
      log.debug(facts, outcome.kind)
  }
}
