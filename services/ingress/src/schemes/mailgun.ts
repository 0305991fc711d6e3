/**
 * Mailgun: hex HMAC-SHA256 of a time and a random token, both in the body. The event itself is not signed, so the
 * signed token is the identity: a replay with other event data is the same event.
 * Facts: django-anymail 15.2 webhooks/mailgun.py; documentation.mailgun.com securing webhooks.
 */
import { createHmac } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { equalAscii } from './compare.ts'
import type { SchemeContext } from './context.ts'
import { checkFreshness } from './freshness.ts'
import { TOO_MANY_TOKENS, walkJson } from './json-walk.ts'
import { atPath } from './location.ts'
import type { Reading } from './reading.ts'
import { type Rejection, reject } from './rejections.ts'
import { readTime } from './timestamp.ts'
import { BODY_ALONE, coversNothing, type Outcome, type Verifier } from './verifier.ts'

/** Mailgun's own are 10, 50 and 64 characters long. */
const FIELD_BYTES_MAX = 1_024

interface Claim {
  readonly kind: 'claim'
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
      if (claim.kind === 'rejected') return claim
      const { timestamp, token, signature } = claim
      if (signature === '') return reject('missing-signature')
      if (timestamp === '') return reject('missing-timestamp')
      // V4: no separator in the signed text, so that the time must have ten digits, no more and no less.
      const sentAt = timestamp.length === 10 ? readTime(timestamp, 's') : null
      if (sentAt === null) return reject('malformed-timestamp')
      if (token === '') return reject('missing-id', 'The token is absent or empty.')
      for (const { key, secretIndex } of keys) {
        if (!reading.effort.hash('sha256', timestamp.length + token.length)) return reject('too-much-work')
        if (
          !equalAscii(
            signature,
            createHmac('sha256', key)
              .update(timestamp + token, 'utf8')
              .digest('hex'),
          )
        )
          continue
        if (!isAsSeen(reading, claim)) return reject('malformed-body')
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
  const block: Record<string, unknown> = {}
  const end = walkJson(reading.request.body, ([outer, name, ...deeper], leaf) => {
    if (outer === 'signature' && deeper.length === 0 && leaf.bytes <= FIELD_BYTES_MAX) {
      block[name as string] = leaf.read()
    }
    return false
  })
  if (end === 'too-long') return reject('too-much-work', TOO_MANY_TOKENS)
  return end === 'malformed' ? reject('malformed-body') : claimOf(block)
}

/** Whether JSON says of the proof what the walk saw. */
function isAsSeen(reading: Reading, seen: Claim): boolean {
  if (reading.mediaType() === 'application/x-www-form-urlencoded') return true
  return isDeepStrictEqual(claimOf(atPath(reading.json().value, ['signature'])), seen)
}

function claimOf(block: unknown): Claim | Rejection {
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
  return {
    kind: 'claim',
    timestamp: time,
    token: (token ?? '') as string,
    signature: (signature ?? '') as string,
  }
}

/** Legacy webhooks: form fields. User variables may repeat their names; Mailgun's own come last. */
function readForm(reading: Reading): Claim | Rejection {
  const fields = reading.formBytes()
  if (fields === null) return reject('malformed-body')
  const last = (name: string) => {
    const value = fields.findLast(field => field.name === name)?.value
    return value === undefined || value.length > FIELD_BYTES_MAX ? '' : value.toString('utf8')
  }
  return {
    kind: 'claim',
    timestamp: last('timestamp'),
    token: last('token'),
    signature: last('signature'),
  }
}
