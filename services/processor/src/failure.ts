/**
 * What a thrown value means. The first row that fits holds; a processor's `failures` go before the last four.
 *
 * | thrown                                          | kind      | code               | blames a dependency |
 * |-------------------------------------------------|-----------|--------------------|---------------------|
 * | `Fatal`                                         | fatal     | SP_HANDLER_FATAL   | no                  |
 * | `SP_EMIT`                                       | fatal     | SP_EMIT            | no                  |
 * | `RetryLater`                                    | retryable | SP_HANDLER_FAILED  | no                  |
 * | `RetryLater.fromResponse`                       | retryable | SP_HANDLER_FAILED  | yes                 |
 * | what `failures` names `fatal`                   | fatal     | SP_HANDLER_FATAL   | no                  |
 * | what `failures` names `outage`, or `retry`      | retryable | SP_HANDLER_FAILED  | yes, or no          |
 * | a code of a connection that fails, itself or a cause of it | retryable | SP_HANDLER_FAILED | yes      |
 * | an HTTP status 429 or 5xx, the same way         | retryable | SP_HANDLER_FAILED  | yes                 |
 * | `timeout`: the deadline passed                  | retryable | SP_HANDLER_TIMEOUT | yes                 |
 * | `unknown`: anything else                        | retryable | SP_HANDLER_FAILED  | no                  |
 *
 * Only failures that blame a dependency count for the circuit breaker: an agent that is broken itself goes on to its
 * dead letters, where an operator looks for them.
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

/** Codes of Node's sockets and resolver, of its fetch (undici), and of time-outs; the statuses of RFC 9110 and 6585. */
const OUTAGES = [
  ...['ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH'],
  ...['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL'],
  ...['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'UND_ERR_SOCKET'],
  ...['TimeoutError', '429', '500', '502', '503', '504', 'timeout'],
]
const DEFAULTS: FailureTable = {
  unknown: 'retry',
  ...Object.fromEntries(OUTAGES.map(name => [name, 'outage'] as const)),
}

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
  const rule = ruleNamed(table, 'timeout')
  return byRule(rule, 'SP_HANDLER_TIMEOUT', `the handler did not finish within ${timeoutMs} ms`)
}

function fatal(code: ErrorCode, message: string): Failure {
  return { kind: 'fatal', code, message, blamesDependency: false }
}

function byRule(rule: FailureRule | undefined, code: ErrorCode, message: string): Failure {
  if (rule !== 'fatal') return { kind: 'retryable', code, message, blamesDependency: rule === 'outage' }
  return fatal(code === 'SP_HANDLER_FAILED' ? 'SP_HANDLER_FATAL' : code, message)
}

function ruleFor(thrown: unknown, table: FailureTable): FailureRule | undefined {
  let error = thrown
  for (let depth = 0; depth < CAUSES_MAX && typeof error === 'object' && error !== null; depth++) {
    for (const name of namesOf(error)) {
      const rule = ruleNamed(table, name)
      if (rule !== undefined) return rule
    }
    error = property(error, 'cause')
  }
  return ruleNamed(table, 'unknown')
}

/** Code, name and HTTP status of an error, as the clients of this world spell them. */
function namesOf(error: object): string[] {
  const response = property(error, 'response')
  const values = ['code', 'name', 'status', 'statusCode'].map(name => property(error, name))
  if (typeof response === 'object' && response !== null) values.push(property(response, 'status'))
  return values.filter(value => typeof value === 'string' || typeof value === 'number').map(String)
}

/** The processor's rule for a name, else the usual one. */
function ruleNamed(table: FailureTable, name: string): FailureRule | undefined {
  return Object.hasOwn(table, name) ? table[name] : Object.hasOwn(DEFAULTS, name) ? DEFAULTS[name] : undefined
}

/** A property of a value that a handler threw: its getters may throw as well. */
function property(value: object, name: string): unknown {
  try {
    return (value as Record<string, unknown>)[name]
  } catch {
    return undefined
  }
}
