/**
 * What the ingress says when it does not accept: RFC 9457 problem documents. `code` is stable and machine-readable;
 * `detail` says what to do and never holds a secret, an expected signature or anything of the body.
 */

/** The ingress's own reasons; verification adds its own codes (`schemes/rejections.ts`). */
const PROBLEMS = {
  'unknown-source': [404, 'No such source'],
  'unknown-path': [404, 'Nothing here'],
  'method-not-allowed': [405, 'Method not allowed'],
  'request-timeout': [408, 'The request took too long'],
  'body-too-large': [413, 'The body is too large'],
  'malformed-encoding': [400, 'The body is not in its content encoding'],
  'https-required': [403, 'HTTPS is required'],
  'address-refused': [403, 'Not from this address'],
  'too-many-requests': [429, 'Too many deliveries'],
  'too-many-failures': [429, 'Too many deliveries that do not verify'],
  'address-overloaded': [429, 'Too much in flight from one address'],
  'content-encoding': [415, 'The content encoding is not supported'],
  'headers-too-large': [431, 'The headers are too large'],
  'malformed-request': [400, 'Not an HTTP request'],
  'internal-error': [500, 'Internal error'],
  'not-ready': [503, 'Not ready'],
  overloaded: [503, 'Too much in flight'],
  'not-published': [503, 'Not stored'],
  'handshake-failed': [503, 'The handshake could not be completed'],
  'key-unavailable': [503, 'The sender’s key cannot be fetched'],
} as const

export type ProblemCode = keyof typeof PROBLEMS

/** A refusal, ready to be written. */
export interface Problem {
  readonly status: number
  readonly code: string
  readonly title: string
  readonly detail: string
  /** Sent besides the document's own headers: `Allow`, `Retry-After` … */
  readonly headers: Readonly<Record<string, string>>
  /** The connection is closed with it: what still comes of the request is not waited for. */
  readonly closes?: true
}

/** One of the ingress's own refusals. */
export function problem(code: ProblemCode, detail: string, headers: Record<string, string> = {}): Problem {
  const [status, title] = PROBLEMS[code]
  return { status, code, title, detail, headers }
}

/** The same refusal; the connection is closed with it. */
export function closing(refusal: Problem): Problem {
  return { ...refusal, closes: true }
}

/** A refusal whose code and status the verification chose. */
export function rejection(status: number, code: string, detail: string): Problem {
  const title = status === 401 ? 'The signature does not verify' : 'The delivery is not acceptable'
  const headers: Record<string, string> = status === 401 ? { 'www-authenticate': 'Signature' } : {}
  return { status, code, title, detail, headers }
}

/** A refusal that asks the sender to try again; `retryAfterMs` becomes Retry-After, whole seconds, at least 1. */
export function tryAgain(
  code:
    | 'not-ready'
    | 'overloaded'
    | 'not-published'
    | 'key-unavailable'
    | 'too-many-requests'
    | 'too-many-failures'
    | 'address-overloaded'
    | 'handshake-failed',
  detail: string,
  retryAfterMs: number,
): Problem {
  return problem(code, detail, { 'retry-after': String(Math.max(1, Math.ceil(retryAfterMs / 1_000))) })
}

export const PROBLEM_CONTENT_TYPE = 'application/problem+json'

/** The document of a problem; `type` is a stable URN of its code. */
export function problemBody(problem: Problem): string {
  return JSON.stringify({
    type: `urn:sallyport:problem:${problem.code}`,
    title: problem.title,
    status: problem.status,
    detail: problem.detail,
    code: problem.code,
  })
}
