/**
 * DocuSign Connect: base64 HMAC-SHA256 of the body, one numbered header for each active key. Any number may be the
 * one of a key that the source holds.
 * Facts: nuxt-webhook-validators 0.2.12 docusign.js; DocuSign Connect HMAC documentation.
 */
import { createHmac } from 'node:crypto'
import { equalAscii } from './compare.ts'
import type { SchemeContext } from './context.ts'
import { reject } from './rejections.ts'
import { BODY_ALONE, bodyParts, coversBody, membersPattern, type Outcome, type Verifier } from './verifier.ts'

const NAME = /^x-docusign-signature-([1-9]\d{0,2})$/
const KEYS_MAX = 100
const CHANGES = membersPattern(['retryCount'])

export function docusign(context: SchemeContext): Verifier {
  const keys = context.keys()
  return {
    proof: [NAME],
    requestLine: BODY_ALONE,
    authenticate(reading): Outcome {
      const byName = new Map<string, string>()
      for (const [raw, value] of reading.headers) {
        if (raw.length < 22 || raw.length > 24) continue
        const name = raw.toLowerCase()
        if (!NAME.test(name)) continue
        if (byName.has(name)) return reject('duplicate-signature')
        byName.set(name, value)
      }
      const signatures = [...byName.values()].filter(value => value !== '')
      if (signatures.length === 0) return reject('missing-signature')
      if (signatures.length > KEYS_MAX) return reject('malformed-signature')
      const { body } = reading.request
      for (const { key, secretIndex } of keys) {
        if (!reading.effort.hash('sha256', body.length)) return reject('too-much-work')
        const expected = createHmac('sha256', key).update(body).digest('base64')
        if (signatures.some(signature => equalAscii(signature, expected))) {
          const signedParts = bodyParts(body, '', CHANGES)
          return { kind: 'authentic', secretIndex, sentAt: null, signedParts, covers: coversBody }
        }
      }
      const wellFormed = signatures.some(signature => /^[A-Za-z0-9+/]{43}=$/.test(signature))
      return reject(wellFormed ? 'wrong-signature' : 'malformed-signature')
    },
  }
}
