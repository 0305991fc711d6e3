/**
 * Stage 2: from a RawRequest to a VerifiedDelivery.
 *
 *   greet → authenticate → respond → required fields and JSON Schema → VerifiedDelivery
 *
 * `verify` is the only constructor of VerifiedDelivery: the symbol that brands it is not exported. It is
 * synchronous unless a certificate must be fetched, and never throws (V7 of schemes/scheme.ts).
 */
import type { BodySchema } from './body-schema.ts'
import type { RawRequest, Verdict } from './delivery.ts'
import { anyId, provenId, typeAt } from './labels.ts'
import type { Challenge } from './schemes/handshakes.ts'
import { asLabel } from './schemes/location.ts'
import { type ParsedJson, Reading } from './schemes/reading.ts'
import { type Rejection, reject, type Unavailable } from './schemes/rejections.ts'
import { type Authentic, type Outcome, signedQuery } from './schemes/verifier.ts'
import type { Source } from './sources.ts'

const VERIFIED = Symbol('verified')

class Delivery {
  readonly [VERIFIED] = true
  readonly source: Source
  readonly verdict: Verdict
  readonly #reading: Reading

  constructor(source: Source, reading: Reading, verdict: Verdict) {
    this.source = source
    this.verdict = verdict
    this.#reading = reading
  }

  get request(): RawRequest {
    return this.#reading.request
  }

  /** The body as JSON, parsed at most once. Never throws. */
  json(): ParsedJson {
    return this.#reading.json()
  }
}

/** A delivery that its source's scheme accepted. */
export type VerifiedDelivery = Delivery

/**
 * - `verified`: publish it
 * - `challenge`: no event; answer as it says (first fetch `confirmUrl`, keep `storesSecret`, where there are any)
 * - `rejected`: answer with the status and the code
 * - `unavailable`: our fault, not the sender's: answer 503, it will send again
 */
export type Verification =
  | { readonly kind: 'verified'; readonly delivery: VerifiedDelivery }
  | Challenge
  | Rejection
  | Unavailable

/** Judges one request. A promise only where a certificate must be fetched first. */
export function verify(
  source: Source,
  request: RawRequest,
  nowMs: number,
): Verification | Promise<Verification> {
  try {
    const { verifier } = source
    const reading = new Reading(request, source.url, nowMs, {
      jsonOnly: source.wantsJson,
      addsQuery: verifier.requestLine.addsQuery === true,
    })
    const greeting = verifier.greet?.(reading)
    if (greeting !== undefined && greeting !== null) return greeting
    const misplaced = checkMethod(source, request)
    if (misplaced !== null) return misplaced
    if (source.awaitsSecret) return reject('no-secret-yet')
    const outcome = verifier.authenticate(reading)
    if (!(outcome instanceof Promise)) return conclude(source, reading, outcome)
    return outcome.then(settled => conclude(source, reading, settled)).catch(() => reject('unreadable'))
  } catch {
    return reject('unreadable')
  }
}

/**
 * V8: nothing is accepted whose data would be dropped. Only a source that takes more than POST comes here with another
 * method; what has no body has its data in the URL, and a GET has no body, or its data could be moved there from the query.
 */
function checkMethod(source: Source, { method, body }: RawRequest): Rejection | null {
  if (method === 'POST') return null
  const isEmpty = body.length === 0
  const isData = source.deliveries.has(method) && (source.verifier.requestLine.url || !isEmpty)
  if (!isData) return reject('method-not-allowed')
  return method === 'GET' && !isEmpty ? reject('malformed-body', 'A GET has no body.') : null
}

function conclude(source: Source, reading: Reading, outcome: Outcome): Verification {
  // A genuine body that lacks its fields is told so first, also when its time is one of them.
  if (outcome.kind === 'rejected' && outcome.isProven === true) return checkFields(source, reading) ?? outcome
  if (outcome.kind !== 'authentic') return outcome
  const response = source.verifier.respond?.(reading, outcome)
  if (response !== undefined && response !== null) return response
  const lacking = checkFields(source, reading)
  if (lacking !== null) return lacking
  return { kind: 'verified', delivery: new Delivery(source, reading, verdictOf(source, reading, outcome)) }
}

function checkFields(source: Source, reading: Reading): Rejection | null {
  if (source.wantsJson && reading.request.body.length > 0 && !reading.json().ok) return reject('not-json')
  for (const [text, location] of source.required) {
    if (location.from === 'json' && !reading.json().ok) return reject('not-json')
    if (isEmpty(reading.at(location))) {
      return reject('missing-field', `The field ${text} is missing or empty.`)
    }
  }
  return source.bodySchema === null ? null : checkBody(source.bodySchema, reading)
}

function checkBody(schema: BodySchema, reading: Reading): Rejection | null {
  const json = reading.json()
  if (!json.ok) return reject('not-json')
  const words = schema(json.value)
  return words === null ? null : reject('schema-mismatch', words)
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null) return true
  if (typeof value === 'string') return value.trim() === ''
  if (typeof value !== 'object') return false
  for (const _ in value) return false
  return true
}

function verdictOf(source: Source, reading: Reading, outcome: Authentic): Verdict {
  const proven = source.identity === 'SENDER_ID' ? provenId(source.id, reading, outcome) : null
  const isId = proven?.kind === 'id'
  return {
    scheme: source.scheme,
    secretIndex: outcome.secretIndex,
    identity: isId ? 'SENDER_ID' : 'DIGEST',
    senderId: isId ? proven.text : proven === null ? senderIdOf(source, reading, outcome) : null,
    type: asLabel(source.typeOf?.(reading)) ?? typeAt(source.type, reading) ?? asLabel(outcome.type),
    sentAt: outcome.sentAt !== null && outcome.sentAt > YEAR_9999_MS ? null : outcome.sentAt,
    signedParts: proven?.kind === 'too-long' ? [proven.text] : outcome.signedParts,
    signedTarget: proven?.kind === 'too-long' ? '' : (outcome.signedTarget ?? ''),
    query: signedQuery(reading, source.verifier.requestLine),
  }
}

/** Some readers of Avro have no date beyond it. */
const YEAR_9999_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

function senderIdOf({ id }: Source, reading: Reading, outcome: Authentic): string | null {
  return id.length === 0 ? asLabel(outcome.id) : anyId(id, reading)
}
