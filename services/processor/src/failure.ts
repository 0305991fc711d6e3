/**
 * What a thrown value means. The first row that fits holds; a processor's `failures` stand in the place of the last
 * three.
 *
 * | thrown                                  | kind      | code               | blames a dependency |
 * |-----------------------------------------|-----------|--------------------|---------------------|
 * | `Fatal`                                 | fatal     | SP_HANDLER_FATAL   | no                  |
 * | `SP_EMIT`                               | fatal     | SP_EMIT            | no                  |
 * | `RetryLater`                            | retryable | SP_HANDLER_FAILED  | no                  |
 * | `RetryLater.fromResponse`               | retryable | SP_HANDLER_FAILED  | yes                 |
 * | an error whose code, name or HTTP status `failures` names, itself or a cause of it | as it says | SP_HANDLER_FAILED or SP_HANDLER_FATAL | if retryable |
 * | `timeout`: the deadline passed          | retryable | SP_HANDLER_TIMEOUT | if retryable        |
 * | `unknown`: anything else                | retryable | SP_HANDLER_FAILED  | if retryable        |
 *
 * Only failures that blame a dependency count for the circuit breaker.
 */
import { MESSAGE_CHARS_MAX } from '@sallyport/core/attempt'
import { type ErrorCode, errorMessage, SallyportError } from '@sallyport/core/errors'
import { type FailureRule, Fatal, RetryLater } from './index.ts'

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

/** `failures` of a processor: rules by error code, error name, HTTP status, `timeout` or `unknown`. */
export type FailureTable = Readonly<Record<string, FailureRule>>

/** How far a chain of causes is followed. */
const CAUSES_MAX = 5

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
  const rule = ownRule(table, 'timeout') ?? 'retry'
  return byRule(rule, 'SP_HANDLER_TIMEOUT', `the handler did not finish within ${timeoutMs} ms`)
}

function fatal(code: ErrorCode, message: string): Failure {
  return { kind: 'fatal', code, message, blamesDependency: false }
}

function byRule(rule: FailureRule, code: ErrorCode, message: string): Failure {
  if (rule === 'retry') return { kind: 'retryable', code, message, blamesDependency: true }
  return fatal(code === 'SP_HANDLER_FAILED' ? 'SP_HANDLER_FATAL' : code, message)
}

function ruleFor(thrown: unknown, table: FailureTable): FailureRule {
  let error = thrown
  for (let depth = 0; depth < CAUSES_MAX && typeof error === 'object' && error !== null; depth++) {
    for (const name of namesOf(error)) {
      const rule = ownRule(table, name)
      if (rule !== undefined) return rule
    }
    error = property(error, 'cause')
  }
  return ownRule(table, 'unknown') ?? 'retry'
}

/** Code, name and HTTP status of an error, as the clients of this world spell them. */
function namesOf(error: object): string[] {
  const response = property(error, 'response')
  const values = ['code', 'name', 'status', 'statusCode'].map(name => property(error, name))
  if (typeof response === 'object' && response !== null) values.push(property(response, 'status'))
  return values.filter(value => typeof value === 'string' || typeof value === 'number').map(String)
}

function ownRule(table: FailureTable, name: string): FailureRule | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined
}

/** A property of a value that a handler threw: its getters may throw as well. */
function property(value: object, name: string): unknown {
  try {
    return (value as Record<string, unknown>)[name]
  } catch {
    return undefined
  }
}
