/**
 * Stage 7: run the agent under a deadline. The result says what came of it; nothing is thrown. A handler that
 * ignores its signal is not waited for: whatever it does later is discarded with its context.
 */
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import type { Event } from '@sallyport/core/event'
import type { Log } from '@sallyport/core/log'
import { context, type Span, trace } from '@sallyport/core/trace'
import type { Round } from './claim.ts'
import type { ProcessorConfig } from './config.ts'
import { type Failure, failureOf, timeoutFailure } from './failure.ts'
import type { HandlerContext } from './index.ts'
import type { Output, OutputEncoder } from './outputs.ts'

export type AttemptResult =
  | { readonly kind: 'succeeded'; readonly outputs: readonly Output[] }
  | { readonly kind: 'failed'; readonly failure: Failure }
  /** The task lost its partition or stops: nothing may follow from this attempt. */
  | { readonly kind: 'abandoned' }

export interface AttemptInput {
  readonly event: Event
  readonly round: Round
  readonly span: Span
  /** Aborts when the task ends. */
  readonly taskSignal: AbortSignal
  readonly log: Log
}

export async function runAttempt(
  processor: ProcessorConfig,
  encoder: OutputEncoder,
  input: AttemptInput,
): Promise<AttemptResult> {
  const { event, round, span, taskSignal } = input
  if (taskSignal.aborted) return { kind: 'abandoned' }
  const timeout = new AbortController()
  const signal = AbortSignal.any([taskSignal, timeout.signal])
  const timer = setTimeout(() => timeout.abort(timeoutError(processor.timeoutMs)), processor.timeoutMs)
  const outputs: Output[] = []
  let ended = false
  const handlerContext: HandlerContext = {
    signal,
    idempotencyKey: idempotencyKey(processor.name, event.id, round.generation),
    attempt: round.attempt,
    settings: processor.settings,
    log: input.log,
    span,
    emit: (topic, value, options) => {
      if (ended)
        throw new SallyportError(
          'SP_EMIT',
          'emit was called after the attempt had ended: await what the handler starts',
        )
      outputs.push(encoder.encode(topic, value, options?.key ?? event.id))
    },
  }
  try {
    const running = context.with(trace.setSpan(context.active(), span), async () => {
      await processor.handler(event, handlerContext)
    })
    await Promise.race([running, aborted(signal)])
    return { kind: 'succeeded', outputs }
  } catch (error) {
    if (taskSignal.aborted) return { kind: 'abandoned' }
    if (timeout.signal.aborted)
      return { kind: 'failed', failure: timeoutFailure(processor.timeoutMs, processor.failures) }
    input.log.debug(
      { error: errorMessage(error), stack: error instanceof Error ? error.stack : undefined },
      'the handler threw',
    )
    return { kind: 'failed', failure: failureOf(error, processor.failures) }
  } finally {
    ended = true
    clearTimeout(timer)
  }
}

/** The same for every attempt at an event in one generation. */
export function idempotencyKey(processor: string, eventId: string, generation: number): string {
  return generation === 0 ? `${processor}:${eventId}` : `${processor}:${eventId}:${generation}`
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

function timeoutError(timeoutMs: number): SallyportError {
  return new SallyportError(
    'SP_HANDLER_TIMEOUT',
    `the handler did not finish within ${timeoutMs} ms; it is not waited for`,
  )
}
