import { equalBytes } from './compare.ts'
import type { IndexedKey } from './keys.ts'
import { reject } from './rejections.ts'
import type { Scheme } from './scheme.ts'
import { BODY_ALONE, bodyParts, coversNothing, type Verifier } from './verifier.ts'

/** Static tokens and basic authentication: constant-time equality, and nothing else is proven. */
export function credentialVerifier(row: Scheme, keys: readonly IndexedKey[]): Verifier {
  const header = row.header.toLowerCase()
  const prefix = row.prefix ?? ''
  const isBasic = row.algorithm === 'basic'
  const expected = keys.map(({ text, secretIndex }) => ({
    secretIndex,
    bytes: Buffer.from(isBasic ? Buffer.from(text, 'utf8').toString('base64') : text, 'utf8'),
  }))
  return {
    proof: [header],
    requestLine: BODY_ALONE,
    authenticate(reading) {
      const value = reading.headers.only(header)
      if (value === null) return reject('duplicate-signature')
      if (value === undefined || value === '') {
        return reject('missing-signature', `The header ${row.header} is absent or empty.`)
      }
      const scheme = isBasic ? /^basic +/i.exec(value)?.[0] : prefix
      if (scheme === undefined || !value.startsWith(scheme)) return reject('malformed-signature')
      const text = value.slice(scheme.length)
      // Node hands over header bytes as Latin-1 characters; anything else did not come from a header.
      const given = Buffer.from(text, 'latin1')
      if (given.toString('latin1') !== text) return reject('wrong-token')
      for (const { secretIndex, bytes } of expected) {
        if (equalBytes(given, bytes)) {
          return {
            kind: 'authentic',
            secretIndex,
            sentAt: null,
            signedParts: bodyParts(reading.request.body, ''),
            covers: coversNothing,
          }
        }
      }
      return reject('wrong-token')
    },
  }
}
