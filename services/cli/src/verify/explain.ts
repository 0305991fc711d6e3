/**
 * What one request's verification came to, in plain words: which steps it passed, which one failed, and what would
 * have matched instead. Written for the person who looks at a 401.
 */
import type { RawRequest } from '@sallyport/ingress/delivery'
import { REJECTIONS, type RejectionCode } from '@sallyport/ingress/schemes/rejections'
import type { Source } from '@sallyport/ingress/sources'
import { type Verification, verify } from '@sallyport/ingress/verify'
import { printable } from '../printable.ts'

/** The steps of every scheme, in order. */
const STEPS = {
  there: 'the signature is there, once',
  parts: 'the signed time, id and headers are there and well formed',
  form: 'the signature is written as this sender writes it',
  key: 'the key is one of the sender’s',
  match: 'the signature matches the request',
  time: 'the signed time is near enough to now',
  allowed: 'the sender may do this here',
  fields: 'the required fields are there, and the body fits its JSON Schema',
} as const

type Step = keyof typeof STEPS

const FAILED_AT: Readonly<Record<RejectionCode, Step>> = {
  'missing-signature': 'there',
  'duplicate-signature': 'there',
  'malformed-body': 'there',
  'no-secret-yet': 'there',
  'missing-timestamp': 'parts',
  'malformed-timestamp': 'parts',
  'missing-id': 'parts',
  'duplicate-header': 'parts',
  'ambiguous-text': 'parts',
  'malformed-signature': 'form',
  'unknown-signature-version': 'form',
  'malformed-token': 'form',
  'wrong-algorithm': 'form',
  'forbidden-key-url': 'key',
  'unknown-key': 'key',
  'expired-key': 'key',
  'wrong-signature': 'match',
  'wrong-token': 'match',
  'wrong-claim': 'match',
  'body-not-bound': 'match',
  'stale-timestamp': 'time',
  'future-timestamp': 'time',
  'challenge-refused': 'allowed',
  'secret-already-stored': 'allowed',
  'topic-not-allowed': 'allowed',
  'not-json': 'fields',
  'missing-field': 'fields',
  'schema-mismatch': 'fields',
  unreadable: 'there',
}

/** The lines of the explanation. `nowMs` is the clock that the verification used. */
export async function explain(
  source: Source,
  request: RawRequest,
  nowMs: number,
  verification: Verification,
): Promise<string[]> {
  const lines = [`source   ${source.name} (${schemeWords(source)})`, `request  ${requestWords(request)}`, '']
  if (verification.kind === 'verified') {
    const { verdict } = verification.delivery
    const previous =
      verdict.secretIndex === 0 ? 'the current secret' : `previous secret no. ${verdict.secretIndex}`
    lines.push(...Object.values(STEPS).map(words => `ok   ${words}`), '')
    lines.push(
      `accepted with ${previous}; sender’s id ${verdict.senderId ?? 'none'}, type ${verdict.type ?? 'none'}`,
    )
    lines.push(
      `identity ${verdict.identity}: ${source.preset?.identityReason ?? identityWords(verdict.identity)}`,
    )
  } else if (verification.kind === 'challenge') {
    const { status, body } = verification.response
    lines.push(`a handshake (${verification.code}), answered with ${status} ${JSON.stringify(body)}`)
  } else if (verification.kind === 'unavailable') {
    lines.push(`not decided: ${verification.detail} The sender would get 503.`)
  } else {
    lines.push(...stepLines(verification.code), '')
    lines.push(`rejected with ${verification.status} ${verification.code}`, `  ${verification.detail}`)
    const words: string = REJECTIONS[verification.code].words
    if (words !== verification.detail) lines.push(`  ${words}`)
    if (verification.code === 'wrong-signature') lines.push(...(await whatWouldMatch(source, request, nowMs)))
  }
  if (source.preset?.caution !== undefined) lines.push('', `note     ${source.preset.caution}`)
  // Parts of the request stand in these lines, and a terminal would obey what it finds there.
  return lines.map(printable)
}

function identityWords(identity: 'SENDER_ID' | 'DIGEST'): string {
  return identity === 'SENDER_ID'
    ? 'the signature covers the id'
    : 'the signature covers no id, so the signed bytes count'
}

function stepLines(code: RejectionCode): string[] {
  const failed = Object.keys(STEPS).indexOf(FAILED_AT[code])
  return Object.values(STEPS).map((words, i) => {
    if (i === failed) return `FAIL ${words}`
    return i < failed ? `ok   ${words}` : `-    ${words} (not looked at)`
  })
}

function schemeWords({ row, preset, scheme }: Source): string {
  if (row === null) return preset?.title ?? scheme
  const name = preset?.title ?? 'custom scheme'
  return `${name}: ${row.algorithm} in ${row.header}, over ${row.signed ?? '{body}'}`
}

function requestWords({ method, url, headers, body }: RawRequest): string {
  return `${method} ${url}, ${body.length} bytes, ${headers.get('content-type') ?? 'no content type'}`
}

/** Tries what commonly goes wrong between a sender and here. */
async function whatWouldMatch(source: Source, request: RawRequest, nowMs: number): Promise<string[]> {
  const lines: string[] = []
  for (const [words, changed] of variations(request)) {
    if (isGenuine(await verify(source, changed, nowMs))) {
      lines.push(`  It would match if ${words}.`)
    }
  }
  if (lines.length > 0) return lines
  return ['  No common change of the body or URL explains it: compare the secret with the sender’s.']
}

function isGenuine(verification: Verification): boolean {
  if (verification.kind === 'verified' || verification.kind === 'challenge') return true
  if (verification.kind === 'unavailable') return false
  const step = FAILED_AT[verification.code]
  return step === 'time' || step === 'allowed' || step === 'fields'
}

function* variations(request: RawRequest): Generator<[string, RawRequest]> {
  const text = request.body.toString('utf8')
  const withBody = (body: string): RawRequest => ({ ...request, body: Buffer.from(body, 'utf8') })
  if (/\r?\n$/.test(text))
    yield ['the last line end of the body were not there', withBody(text.replace(/\r?\n$/, ''))]
  yield ['the body ended with a line feed', withBody(`${text}\n`)]
  yield ['the body ended with CRLF', withBody(`${text}\r\n`)]
  if (text.includes('\r\n')) yield ['line ends in the body were LF', withBody(text.replaceAll('\r\n', '\n'))]
  else yield ['line ends in the body were CRLF', withBody(text.replaceAll('\n', '\r\n'))]
  const compact = rewritten(text)
  if (compact !== null)
    yield ['the JSON were written without blanks (something parsed and re-wrote it)', withBody(compact)]
  if (compact !== null) yield ['the JSON were written as Python does', withBody(pythonStyle(compact))]
  yield ['the body were empty', withBody('')]
  const other = request.url.startsWith('https:') ? 'http:' : 'https:'
  yield [
    `the URL began with ${other} (set url to the public one)`,
    { ...request, url: request.url.replace(/^https?:/, other) },
  ]
  if (request.url.endsWith('/'))
    yield ['the URL had no slash at its end', { ...request, url: request.url.slice(0, -1) }]
  else yield ['the URL had a slash at its end', { ...request, url: `${request.url}/` }]
}

function rewritten(text: string): string | null {
  try {
    return JSON.stringify(JSON.parse(text))
  } catch {
    return null
  }
}

/** `{"a": 1, "b": 2}`: separators with blanks outside of strings, and non-ASCII characters escaped. */
function pythonStyle(compact: string): string {
  return compact
    .replaceAll(/"(?:[^"\\]|\\.)*"|[,:]/g, token => (token === ',' ? ', ' : token === ':' ? ': ' : token))
    .replaceAll(/[\u0080-\uffff]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
