/**
 * Box V2: base64 HMAC-SHA256 of the body and the delivery's time, in two headers, each with its own key: the first
 * secret of the source belongs to PRIMARY, the second to SECONDARY.
 * Facts: box-node-sdk 10.12.0; developer.box.com guides/webhooks/v2.
 */
import { isUtf8 } from 'node:buffer'
import { createHmac } from 'node:crypto'
import { SallyportError } from '@sallyport/core/errors'
import { equalAscii } from './compare.ts'
import type { SchemeContext } from './context.ts'
import { checkFreshness } from './freshness.ts'
import type { Reading } from './reading.ts'
import { type Rejection, reject } from './rejections.ts'
import { readTime } from './timestamp.ts'
import { BODY_ALONE, bodyParts, coversBody, type Outcome, type Verifier } from './verifier.ts'

const HEADERS = ['box-signature-primary', 'box-signature-secondary']

export function box(context: SchemeContext): Verifier {
  const keys = context.keys()
  if (keys.length > 2) {
    throw new SallyportError(
      'SP_SETTINGS',
      `sources.${context.source}.secrets must be Box's primary key and, if there is one, its secondary key: remove the others`,
    )
  }
  // Box's own libraries take nothing from the future.
  const tolerance = context.tolerance({ tolerance: '10m', future: '0s' })
  return {
    proof: HEADERS,
    requestLine: BODY_ALONE,
    authenticate(reading): Outcome {
      const { headers } = reading
      const signatures = HEADERS.map(name => headers.only(name))
      if (signatures.includes(null)) return reject('duplicate-signature')
      if (signatures.every(value => value === undefined || value === '')) return reject('missing-signature')
      const unknown = checkVersion(reading)
      if (unknown !== null) return unknown
      const time = headers.only('box-delivery-timestamp')
      if (time === null) return reject('duplicate-header')
      if (time === undefined || time === '') return reject('missing-timestamp')
      const sentAt = readTime(time, 'rfc3339')
      if (sentAt === null) return reject('malformed-timestamp')
      const forms = signedForms(reading.request.body)
      for (const [position, { key, secretIndex }] of keys.entries()) {
        const given = signatures[position]
        if (typeof given !== 'string') continue
        for (const body of forms) {
          if (!reading.effort.hash('sha256', body.length)) return reject('too-much-work')
          if (!equalAscii(given, createHmac('sha256', key).update(body).update(time).digest('base64')))
            continue
          const late = checkFreshness(sentAt, reading.nowMs, tolerance)
          // The digest is of what is signed, which is the same for both writings of a body.
          const signedParts = bodyParts(Buffer.from(body), time)
          return late ?? { kind: 'authentic', secretIndex, sentAt, signedParts, covers: coversBody }
        }
      }
      const wellFormed = signatures.some(
        value => typeof value === 'string' && /^[A-Za-z0-9+/]{43}=$/.test(value),
      )
      return reject(wellFormed ? 'wrong-signature' : 'malformed-signature')
    },
  }
}

function checkVersion({ headers }: Reading): Rejection | null {
  const version = headers.only('box-signature-version')
  const algorithm = headers.only('box-signature-algorithm')
  if (version === null || algorithm === null) return reject('duplicate-header')
  if (version !== '1') return reject('unknown-signature-version')
  if (algorithm !== 'HmacSHA256') return reject('wrong-algorithm')
  return null
}

/** Of longer bodies only the bytes as they came are tried: Box's own are some kilobytes. */
const ESCAPED_BYTES_MAX = 32_768
const DEL = 0x7f
const SLASH = 0x2f
const BACKSLASH = 0x5c
const LETTER_U = 0x75
const HEX = Buffer.from('0123456789abcdef')

/**
 * The bytes as they came and, where it differs, the form that Box signs of some deliveries: characters from DEL on and
 * slashes escaped, as PHP writes JSON. Both stand for the same JSON, character by character; nothing is parsed (V1).
 */
function signedForms(body: Buffer): readonly Buffer[] {
  // What is not UTF-8 has no such form: other bytes would have the same.
  if (body.length > ESCAPED_BYTES_MAX || !isUtf8(body)) return [body]
  const text = body.toString('utf8')
  // An escape is six characters long.
  const escaped = Buffer.allocUnsafe(6 * text.length)
  let end = 0
  let before = 0
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit >= DEL) {
      escaped[end++] = BACKSLASH
      escaped[end++] = LETTER_U
      for (let shift = 12; shift >= 0; shift -= 4) escaped[end++] = HEX[(unit >> shift) & 15] as number
    } else {
      if (unit === SLASH && before !== BACKSLASH) escaped[end++] = BACKSLASH
      escaped[end++] = unit
    }
    before = unit
  }
  const form = escaped.subarray(0, end)
  return form.equals(body) ? [body] : [body, form]
}
