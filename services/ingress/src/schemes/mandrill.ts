/**
 * Mailchimp Transactional (Mandrill): base64 HMAC-SHA1 of the URL and the sorted form fields, the last value of each.
 * Facts: django-anymail 15.2 webhooks/mandrill.py.
 */
import { createHmac, createSecretKey } from 'node:crypto'
import { equalAscii } from './compare.ts'
import type { SchemeContext } from './context.ts'
import type { Effort } from './effort.ts'
import { onlyField } from './form.ts'
import { SIGNATURE_BASE64 } from './form-signing.ts'
import { type Challenge, emptyAnswer } from './handshakes.ts'
import type { IndexedKey } from './keys.ts'
import { asLabel, atPath } from './location.ts'
import type { Reading } from './reading.ts'
import { type Rejection, reject } from './rejections.ts'
import { coversNothing, joined, type Outcome, URL_TOO, type Verifier } from './verifier.ts'

/** Mandrill signs the test that it sends on creation with this key, which everybody knows. */
const TEST_KEY = { key: createSecretKey(Buffer.from('test-webhook')), secretIndex: 0, text: 'test-webhook' }

export function mandrill(context: SchemeContext): Verifier {
  const keys = context.keys()
  return {
    proof: ['x-mandrill-signature'],
    requestLine: URL_TOO,
    greet: reading => greet(reading),
    authenticate(reading): Outcome {
      const claim = readClaim(reading)
      if (claim.kind === 'rejected') return claim
      const secretIndex = match(keys, claim, reading.effort)
      if (typeof secretIndex !== 'number') return secretIndex
      const first = atPath(events(reading), [0])
      return {
        kind: 'authentic',
        secretIndex,
        sentAt: null,
        signedParts: [joined(claim.text)],
        covers: coversNothing,
        id: asLabel(atPath(first, ['_id'])),
        type: asLabel(atPath(first, ['event'])),
      }
    },
    respond: reading => (isEmptyBatch(reading) ? emptyAnswer('no-events') : null),
  }
}

/** The address is probed with HEAD, then with an empty batch under the test key: neither brings an event. */
function greet(reading: Reading): Challenge | null {
  if (reading.request.method === 'HEAD') return emptyAnswer('head-probe')
  if (reading.request.body.length > 200 || !isEmptyBatch(reading)) return null
  const claim = readClaim(reading)
  if (claim.kind === 'rejected') return null
  return match([TEST_KEY], claim, reading.effort) === 0 ? emptyAnswer('mandrill-test') : null
}

interface Claim {
  readonly kind: 'claim'
  readonly signature: string
  /** The signed text in its parts: a batch of events may be long, so it is never a string of its own. */
  readonly text: readonly (string | Buffer)[]
}

/** The index of the secret that signed, or why there is none. */
function match(keys: readonly IndexedKey[], { signature, text }: Claim, effort: Effort): number | Rejection {
  const bytes = text.reduce((sum, part) => sum + part.length, 0)
  for (const { key, secretIndex } of keys) {
    if (!effort.hash('sha1', bytes)) return reject('too-much-work')
    const mac = createHmac('sha1', key)
    for (const part of text) mac.update(part)
    if (equalAscii(signature, mac.digest('base64'))) return secretIndex
  }
  return reject(SIGNATURE_BASE64.test(signature) ? 'wrong-signature' : 'malformed-signature')
}

function readClaim(reading: Reading): Claim | Rejection {
  const signature = reading.headers.only('x-mandrill-signature')
  if (signature === null) return reject('duplicate-signature')
  if (signature === undefined || signature === '') return reject('missing-signature')
  const fields = reading.formBytes()
  if (fields === null) return reject('malformed-body')
  const values = new Map(fields.map(({ name, value }) => [name, value]))
  // Of a name that repeats the last value alone is signed.
  if (values.size < fields.length) return reject('malformed-body', 'A field came more than once.')
  const parts = [...values].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return { kind: 'claim', signature, text: [reading.url, ...parts.flat()] }
}

function events(reading: Reading): unknown {
  const text = onlyField(reading.form() ?? [], 'mandrill_events')
  if (text === null) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isEmptyBatch(reading: Reading): boolean {
  const batch = events(reading)
  return Array.isArray(batch) && batch.length === 0
}
