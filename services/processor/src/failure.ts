/**
 * What a thrown value means. The first row that fits holds; a processor's `failures` go before the last three.
 *
 * | thrown                                          | kind      | code               | blames a dependency |
 * |-------------------------------------------------|-----------|--------------------|---------------------|
 * | `Fatal`                                         | fatal     | SP_HANDLER_FATAL   | no                  |
 * | `SP_EMIT`                                       | fatal     | SP_EMIT            | no                  |
 * | `RetryLater`                                    | retryable | SP_HANDLER_FAILED  | no                  |
 * | `RetryLater.fromResponse`                       | retryable | SP_HANDLER_FAILED  | yes                 |
 * | what `failures` names `fatal`                   | fatal     | SP_HANDLER_FATAL   | no                  |
 * | what `failures` names `outage`, or `retry`      | retryable | SP_HANDLER_FAILED  | yes, or no          |
 * | an outage (outage.ts), itself or a cause of it  | retryable | SP_HANDLER_FAILED  | yes                 |
 * | `timeout`: the deadline passed                  | retryable | SP_HANDLER_TIMEOUT | yes                 |
 * | `unknown`: anything else                        | retryable | SP_HANDLER_FAILED  | no                  |
 *
 * What is thrown where nobody can catch it, in a timer say, has the kind of its row, the code SP_HANDLER_CRASHED, and
 * blames nobody else: it ends the process.
 *
 * Only failures that blame a dependency count for the circuit breaker: an agent that is broken itself goes on to its
 * dead letters, where an operator looks for them.
 */
import { MESSAGE_CHARS_MAX } from '@sallyport/core/attempt'
import { type ErrorCode, errorMessage, SallyportError } from '@sallyport/core/errors'
import { type FailureRule, Fatal, RetryLater } from './index.ts'
import { isOutage } from './outage.ts'
import { errorsIn, namesOf } from './thrown.ts'

/** Why an attempt did not succeed, by what follows from it. */
export interface Failure {
  readonly kind: 'retryable' | 'fatal'
  readonly code: ErrorCode
  /** One line, cut to `MESSAGE_CHARS_MAX`. */
  readonly message: string
  /** The wait that the handler asked for, ms. */
  readonly delayMs?: number
  /** Whether something that the handler depends on may be down. */
  readonly blamesDependency: boolean
}

/** `failures` of a processor: rules by error code, name, class or type, HTTP status, `timeout` or `unknown`. */
export type FailureTable = Readonly<Record<string, FailureRule>>

export function failureOf(thrown: unknown, table: FailureTable = {}): Failure {
  const message = errorMessage(thrown).slice(0, MESSAGE_CHARS_MAX)
  if (thrown instanceof Fatal) return fatal('SP_HANDLER_FATAL', message)
  if (thrown instanceof SallyportError && thrown.code === 'SP_EMIT') return fatal('SP_EMIT', message)
  if (thrown instanceof RetryLater) {
    const { delayMs, isPushback } = thrown
    return { kind: 'retryable', code: 'SP_HANDLER_FAILED', message, delayMs, blamesDependency: isPushback }
  }
  return byRule(ruleFor(thrown, table), 'SP_HANDLER_FAILED', message)
}

export function timeoutFailure(timeoutMs: number, table: FailureTable = {}): Failure {
  const rule = ruleNamed(table, 'timeout') ?? 'outage'
  return byRule(rule, 'SP_HANDLER_TIMEOUT', `the handler did not finish within ${timeoutMs} ms`)
}

/** The attempt ended its process; `failure` is what was thrown. */
export function crashFailure({ kind, message }: Pick<Failure, 'kind' | 'message'>): Failure {
  return { kind, code: 'SP_HANDLER_CRASHED', message, blamesDependency: false }
}

function fatal(code: ErrorCode, message: string): Failure {
  return { kind: 'fatal', code, message, blamesDependency: false }
}

function byRule(rule: FailureRule, code: ErrorCode, message: string): Failure {
  if (rule !== 'fatal') return { kind: 'retryable', code, message, blamesDependency: rule === 'outage' }
  return fatal(code === 'SP_HANDLER_FAILED' ? 'SP_HANDLER_FATAL' : code, message)
}

/** What the processor says of the error or its causes goes before what they say of themselves. */
function ruleFor(thrown: unknown, table: FailureTable): FailureRule {
  const errors = errorsIn(thrown)
  for (const error of errors) {
    for (const name of namesOf(error)) {
      const rule = ruleNamed(table, name)
      if (rule !== undefined) return rule
    }
  }
  return errors.some(isOutage) ? 'outage' : (ruleNamed(table, 'unknown') ?? 'retry')
}

function ruleNamed(table: FailureTable, name: string): FailureRule | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined
}
