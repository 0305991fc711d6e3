/**
 * Stage 3: a `VerifiedDelivery` → the `Event` that will be stored. Only what verification vouched for decides the
 * event's id: see `Event.id`.
 */
import { createHash, hash } from 'node:crypto'
import { type Event, eventId } from '@sallyport/core/event'
import type { HeaderList, Verdict } from './delivery.ts'
import { isText } from './schemes/location.ts'
import type { VerifiedDelivery } from './verify.ts'

const TYPE_DEFAULT = 'webhook'

/** The event of a verified delivery. `keep`: the request headers to store with it, names in lower case. */
export function accept(
  source: string,
  delivery: VerifiedDelivery,
  keep: readonly string[],
  receivedAt: number,
): Event {
  const { request, verdict } = delivery
  const signedId = verdict.identity === 'SENDER_ID' ? verdict.senderId : null
  return {
    id: eventId(source, signedId ?? digestOf(verdict)),
    source,
    type: verdict.type ?? TYPE_DEFAULT,
    identity: signedId === null ? 'DIGEST' : 'SENDER_ID',
    windowMs: signedId === null ? delivery.source.digestWindowMs : null,
    senderId: verdict.senderId,
    scheme: verdict.scheme,
    secretIndex: verdict.secretIndex,
    receivedAt,
    sentAt: verdict.sentAt,
    contentType: keptText(request.headers.get('content-type') ?? ''),
    method: request.method === 'POST' ? null : request.method,
    query: verdict.query,
    headers: keep.length === 0 ? NO_HEADERS : keptHeaders(request.headers, keep),
    body: request.body,
  }
}

/** SHA-256 (hex) of the signed bytes; where method or query are data too, a dot and theirs, which no other digest has. */
function digestOf({ signedParts, signedTarget }: Verdict): string {
  const digest = digestOfParts(signedParts)
  return signedTarget === '' ? digest : `${digest}.${hash('sha256', signedTarget, 'hex')}`
}

function digestOfParts(parts: Verdict['signedParts']): string {
  const [only] = parts
  if (parts.length === 1 && only !== undefined) return hash('sha256', only, 'hex')
  const digest = createHash('sha256')
  // Each after its length, so that nothing can wander from one to the next.
  for (const part of parts) digest.update(`${Buffer.byteLength(part)}:`).update(part)
  return digest.digest('hex')
}

/** Longest header that is stored with an event, characters: what W3C allows its longest one, `baggage`. */
const KEPT_MAX = 8_192

/** The text, or null where it says nothing, is too long to carry along, or is not well-formed. */
function keptText(text: string): string | null {
  return text.length <= KEPT_MAX && isText(text) ? text : null
}

const NO_HEADERS: Readonly<Record<string, string>> = {}

/** A header that came more than once is kept as its values with commas, as HTTP reads them. */
function keptHeaders(headers: HeaderList, keep: readonly string[]): Record<string, string> {
  const kept: Record<string, string> = {}
  for (const name of keep) {
    const text = keptText(headers.all(name).join(', '))
    if (text !== null) kept[name] = text
  }
  return kept
}
