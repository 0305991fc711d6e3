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
      for (const [position, { key, secretIndex }] of keys.entries()) {
        const given = signatures[position]
        if (typeof given !== 'string') continue
        for (const body of signedForms(reading.request.body)) {
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

/**
 * The bytes as they came and, where it differs, the form that Box signs of some deliveries: characters from DEL on and
 * slashes escaped, as PHP writes JSON. Both stand for the same JSON, character by character; nothing is parsed (V1).
 */
function signedForms(body: Buffer): readonly (Buffer | string)[] {
  // What is not UTF-8 has no such form: other bytes would have the same.
  if (!isUtf8(body)) return [body]
  const text = body.toString('utf8')
  const escaped = text
    .replaceAll(/[\u007f-\uffff]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .replaceAll(/(?<!\\)\//g, '\\/')
  return escaped === text ? [body] : [body, escaped]
}
