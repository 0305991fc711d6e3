import { MESSAGE_CHARS_MAX } from '@sallyport/core/attempt'
import { type ErrorCode, errorMessage, SallyportError } from '@sallyport/core/errors'
import { Fatal, RetryLater } from './index.ts'

/** Why an attempt did not succeed, by what follows from it. */
export interface Failure {
  readonly kind: 'retryable' | 'fatal'
  readonly code: ErrorCode
  /** One line, cut to `MESSAGE_CHARS_MAX`. */
  readonly message: string
  /** The wait that the handler asked for, ms. */
  readonly delayMs?: number
}

/**
 * What a thrown value means:
 *
 * | thrown                    | kind      | code               |
 * |---------------------------|-----------|--------------------|
 * | `Fatal`                   | fatal     | SP_HANDLER_FATAL   |
 * | `SP_EMIT`                 | fatal     | SP_EMIT            |
 * | `RetryLater`              | retryable | SP_HANDLER_FAILED  |
 * | anything else             | retryable | SP_HANDLER_FAILED  |
 */
export function failureOf(thrown: unknown): Failure {
  const message = errorMessage(thrown).slice(0, MESSAGE_CHARS_MAX)
  if (thrown instanceof Fatal) return { kind: 'fatal', code: 'SP_HANDLER_FATAL', message }
  if (thrown instanceof SallyportError && thrown.code === 'SP_EMIT')
    return { kind: 'fatal', code: 'SP_EMIT', message }
  if (thrown instanceof RetryLater) {
    return { kind: 'retryable', code: 'SP_HANDLER_FAILED', message, delayMs: thrown.delayMs }
  }
  return { kind: 'retryable', code: 'SP_HANDLER_FAILED', message }
}

export function timeoutFailure(timeoutMs: number): Failure {
  return {
    kind: 'retryable',
    code: 'SP_HANDLER_TIMEOUT',
    message: `the handler did not finish within ${timeoutMs} ms`,
  }
}
