import type { RawRequest } from '@sallyport/ingress/delivery'
import type { Source } from '@sallyport/ingress/sources'
import { type Verification, verify } from '@sallyport/ingress/verify'
import { FAILED_AT } from './steps.ts'

/** What commonly goes wrong between a sender and here, and would explain this signature: “the body were empty”. */
export async function whatWouldMatch(source: Source, request: RawRequest, nowMs: number): Promise<string[]> {
  const found: string[] = []
  for (const [words, changed] of variations(request)) {
    if (isGenuine(await verify(source, changed, nowMs))) found.push(words)
  }
  return found
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
