/**
 * Stage 3: a `VerifiedDelivery` → the `Event` that will be stored. Only what verification vouched for decides the
 * event's id: see `Event.id`.
 */
import { createHash, hash } from 'node:crypto'
import { type Event, eventId } from '@sallyport/core/event'
import type { HeaderList, Verdict } from './delivery.ts'
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
    contentType: request.headers.get('content-type') ?? null,
    headers: keep.length === 0 ? NO_HEADERS : keptHeaders(request.headers, keep),
    body: request.body,
  }
}

/** SHA-256 (hex) of the signed bytes. */
function digestOf(verdict: Verdict): string {
  const [only] = verdict.signedParts
  if (verdict.signedParts.length === 1 && only !== undefined) return hash('sha256', only, 'hex')
  const digest = createHash('sha256')
  for (const part of verdict.signedParts) digest.update(part)
  return digest.digest('hex')
}

const NO_HEADERS: Readonly<Record<string, string>> = {}

/** A header that came more than once is kept as its values with commas, as HTTP reads them. */
function keptHeaders(headers: HeaderList, keep: readonly string[]): Record<string, string> {
  const kept: Record<string, string> = {}
  for (const name of keep) {
    const values = headers.all(name)
    if (values.length > 0) kept[name] = values.join(', ')
  }
  return kept
}
