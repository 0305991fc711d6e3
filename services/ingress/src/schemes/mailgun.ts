/**
 * Mailgun: hex HMAC-SHA256 of a time and a random token, both in the body. The event itself is not signed, so the
 * signed token is the identity: a replay with other event data is the same event.
 * Facts: django-anymail 15.2 webhooks/mailgun.py; documentation.mailgun.com securing webhooks.
 */
import { createHmac } from 'node:crypto'
import { equalAscii } from './compare.ts'
import type { SchemeContext } from './context.ts'
import { checkFreshness } from './freshness.ts'
import { atPath } from './location.ts'
import type { Reading } from './reading.ts'
import { type Rejection, reject } from './rejections.ts'
import { readTime } from './timestamp.ts'
import { BODY_ALONE, coversNothing, type Outcome, type Verifier } from './verifier.ts'

interface Claim {
  readonly timestamp: string
  readonly token: string
  readonly signature: string
}

export function mailgun(context: SchemeContext): Verifier {
  const keys = context.keys()
  const tolerance = context.tolerance({})
  return {
    proof: [],
    requestLine: BODY_ALONE,
    authenticate(reading): Outcome {
      const claim = readClaim(reading)
      if ('kind' in claim) return claim
      const { timestamp, token, signature } = claim
      if (signature === '') return reject('missing-signature')
      if (timestamp === '') return reject('missing-timestamp')
      // V4: no separator in the signed text, so that the time must have ten digits, no more and no less.
      const sentAt = timestamp.length === 10 ? readTime(timestamp, 's') : null
      if (sentAt === null) return reject('malformed-timestamp')
      if (token === '') return reject('missing-id', 'The token is absent or empty.')
      for (const { key, secretIndex } of keys) {
        if (
          !equalAscii(
            signature,
            createHmac('sha256', key)
              .update(timestamp + token, 'utf8')
              .digest('hex'),
          )
        )
          continue
        const late = checkFreshness(sentAt, reading.nowMs, tolerance)
        const signedParts = [timestamp + token]
        return late ?? { kind: 'authentic', secretIndex, sentAt, signedParts, covers: coversNothing }
      }
      return reject(/^[0-9a-f]{64}$/.test(signature) ? 'wrong-signature' : 'malformed-signature')
    },
  }
}

function readClaim(reading: Reading): Claim | Rejection {
  if (reading.mediaType() === 'application/x-www-form-urlencoded') return readForm(reading)
  const block = atPath(reading.json().value, ['signature'])
  const [timestamp, token, signature] = ['timestamp', 'token', 'signature'].map(name => atPath(block, [name]))
  // Mailgun writes the time as a text; a number has the same digits.
  const time = typeof timestamp === 'number' ? String(timestamp) : (timestamp ?? '')
  if (
    typeof time !== 'string' ||
    typeof (token ?? '') !== 'string' ||
    typeof (signature ?? '') !== 'string'
  ) {
    return reject('malformed-body')
  }
  return { timestamp: time, token: (token ?? '') as string, signature: (signature ?? '') as string }
}

/** Legacy webhooks: form fields. User variables may repeat their names; Mailgun's own come last. */
function readForm(reading: Reading): Claim | Rejection {
  const form = reading.form()
  if (form === null) return reject('malformed-body')
  const last = (name: string) => form.findLast(([field]) => field === name)?.[1] ?? ''
  return { timestamp: last('timestamp'), token: last('token'), signature: last('signature') }
}
