/**
 * Mailchimp Transactional (Mandrill): base64 HMAC-SHA1 of the URL and the sorted form fields, the last value of each.
 * Facts: django-anymail 15.2 webhooks/mandrill.py.
 */
import { createSecretKey } from 'node:crypto'
import type { SchemeContext } from './context.ts'
import { onlyField } from './form.ts'
import { matchText, SIGNATURE_BASE64, sortedFields } from './form-signing.ts'
import { type Challenge, emptyAnswer } from './handshakes.ts'
import { asLabel, atPath } from './location.ts'
import type { Reading } from './reading.ts'
import { type Rejection, reject } from './rejections.ts'
import { coversNothing, type Outcome, URL_TOO, type Verifier } from './verifier.ts'

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
      if ('kind' in claim) return claim
      const match = matchText('sha1', keys, [claim.text], [claim.signature])
      if (match === null) {
        return reject(SIGNATURE_BASE64.test(claim.signature) ? 'wrong-signature' : 'malformed-signature')
      }
      const first = atPath(events(reading), [0])
      return {
        kind: 'authentic',
        secretIndex: match.secretIndex,
        sentAt: null,
        signedParts: [claim.text],
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
  if ('kind' in claim) return null
  return matchText('sha1', [TEST_KEY], [claim.text], [claim.signature]) === null
    ? null
    : emptyAnswer('mandrill-test')
}

function readClaim(reading: Reading): { signature: string; text: string } | Rejection {
  const signature = reading.headers.only('x-mandrill-signature')
  if (signature === null) return reject('duplicate-signature')
  if (signature === undefined || signature === '') return reject('missing-signature')
  const form = reading.form()
  if (form === null) return reject('malformed-body')
  const fields = sortedFields(form)
  // Of a name that repeats the last value alone is signed.
  if (fields.some(([, values]) => values.length > 1))
    return reject('malformed-body', 'A field came more than once.')
  return { signature, text: reading.url + fields.map(([name, values]) => name + values[0]).join('') }
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
