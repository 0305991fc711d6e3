import { queryOf } from './form.ts'
import type { Challenge } from './handshakes.ts'
import type { CompiledLocation } from './location.ts'
import type { Reading } from './reading.ts'
import type { Rejection, Unavailable } from './rejections.ts'

/** What a scheme says of a request whose proof is genuine. */
export interface Authentic {
  readonly kind: 'authentic'
  /** Which of the source's secrets or public keys matched: 0 is the current one. */
  readonly secretIndex: number
  /** The signed time, ms since the epoch. */
  readonly sentAt: number | null
  /** See `Verdict.signedParts`. */
  readonly signedParts: readonly (string | Buffer)[]
  /** See `Verdict.signedTarget`. Absent where `signedParts` hold it. */
  readonly signedTarget?: string
  /** Whether this proof vouches for the very value that stands at a place (V6). */
  readonly covers: Covers
  /** The sender's id and type, where only the scheme's own code can tell them; the id of a SENDER_ID preset is covered. */
  readonly id?: string | null
  readonly type?: string | null
}

/** What of a request a proof vouches for. */
export type Covers = (place: CompiledLocation) => boolean

/** The proof binds the body to the byte, and no header. */
export const coversBody: Covers = place => place.from !== 'header'

/** No value of its own is bound: the proof is of a token, or of texts that are joined without a mark between them. */
export const coversNothing: Covers = () => false

export type Outcome = Authentic | Rejection | Unavailable

/** Which parts of the request line a proof covers to the byte. */
export interface RequestLine {
  /** The URL with its query. */
  readonly url: boolean
  readonly method: boolean
  /** The sender adds a query to the URL that is registered: what came is signed, also where the source sets `url`. */
  readonly addsQuery?: true
}

/** Most senders sign neither: their data stand in the body. */
export const BODY_ALONE: RequestLine = { url: false, method: false }
export const URL_TOO: RequestLine = { url: true, method: false }
export const URL_AND_ADDED_QUERY: RequestLine = { url: true, method: false, addsQuery: true }

/** Names of headers in lower case, or what a family of names looks like. */
export type HeaderNames = readonly (string | RegExp)[]

/** A compiled scheme: a row, or a sender's own file. */
export interface Verifier {
  /**
   * The headers that it reads as a proof: signature, token, key, certificate or content MAC. Stored with an event they
   * would be at every reader's disposal, so no source may keep them. Empty where the proof stands in URL or body.
   */
  readonly proof: HeaderNames
  /** What of the request line the proof binds; only that may carry data of the event. */
  readonly requestLine: RequestLine
  /** Judges a delivery. Synchronous unless a certificate must be fetched. Never throws (V7). */
  authenticate(reading: Reading): Outcome | Promise<Outcome>
  /** Answers what the sender asks before it signs anything; null where the request is no such question. */
  greet?(reading: Reading): Challenge | Rejection | null
  /** Answers a genuine request that is no event; null where it is one. */
  respond?(reading: Reading, authentic: Authentic): Challenge | Rejection | null
}

/** Whether a header, its name in lower case, is one of these. */
export function isAmong(name: string, names: HeaderNames): boolean {
  return names.some(one => (typeof one === 'string' ? one === name : one.test(name)))
}

/** See `Verdict.query`. */
export function signedQuery({ url, urlWithQuery }: Reading, line: RequestLine): string | null {
  return line.url ? queryOf(line.addsQuery === true ? urlWithQuery : url) || null : null
}

/** See `Verdict.signedTarget`. */
export function targetOf(reading: Reading, line: RequestLine): string {
  const { method: used } = reading.request
  const method = line.method && used !== 'POST' ? used : ''
  const query = signedQuery(reading, line) ?? ''
  return method === '' && query === '' ? '' : `${method}?${query}`
}

/**
 * The parts of a delivery that its digest is made of, where the body is signed. An empty body has no identity of its
 * own, so that what surrounds it in the signed text stands in. `changes` matches what differs on a retry.
 */
export function bodyParts(
  body: Buffer,
  surroundings: string,
  changes?: RegExp,
): readonly (string | Buffer)[] {
  if (body.length === 0) return [surroundings]
  return changes === undefined ? [body] : [body.toString('latin1').replaceAll(changes, '')]
}

/** One text of its pieces: where one ends and the next begins is no part of a digest. */
export function joined(pieces: readonly (string | Buffer)[]): Buffer {
  return Buffer.concat(pieces.map(piece => (typeof piece === 'string' ? Buffer.from(piece) : piece)))
}

/** Matches members of a JSON text by name, where their value is a number, a literal or a simple text. */
export function membersPattern(names: readonly string[] | undefined): RegExp | undefined {
  if (names === undefined || names.length === 0) return undefined
  return new RegExp(`"(?:${names.join('|')})"\\s*:\\s*(?:-?[0-9.]+|true|false|null|"[^"\\\\]*")`, 'g')
}
