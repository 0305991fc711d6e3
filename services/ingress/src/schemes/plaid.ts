/**
 * Plaid: an ES256 token with the time and the SHA-256 of the body. Its key is fetched from Plaid by key id, with the
 * client's own credentials. Facts: plaid.com/docs/api/webhooks/webhook-verification.
 */
import { createHash, createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { SallyportError } from '@sallyport/core/errors'
import { keyUnavailable } from './certificate.ts'
import { equalAscii } from './compare.ts'
import type { SchemeContext } from './context.ts'
import { checkFreshness, type Tolerance } from './freshness.ts'
import { type Jwt, jwtKey, readClaims, readJwt, timeClaim } from './jwt.ts'
import { KeyCache } from './key-cache.ts'
import type { Reading } from './reading.ts'
import { reject } from './rejections.ts'
import { BODY_ALONE, bodyParts, coversBody, type Outcome, type Verifier } from './verifier.ts'

const KEEP_MS = 3_600_000
const KEY_ID = /^[A-Za-z0-9_-]{1,100}$/

interface PlaidKey {
  readonly key: KeyObject
  /** When Plaid retired the key, ms; Infinity while it has not. */
  readonly expiredMs: number
}

export function plaid(context: SchemeContext): Verifier {
  const clientId = context.required('clientId')
  const host = `${context.option('environment') ?? 'production'}.plaid.com`
  const secret = context.keys()[0]?.text
  if (secret === undefined)
    throw new SallyportError('SP_SECRET_MISSING', `sources.${context.source}.secrets is empty: set it`)
  const tolerance = context.tolerance({})
  const cache = new KeyCache(
    async keyId => {
      const body = JSON.stringify({ client_id: clientId, secret, key_id: keyId })
      const headers = { 'content-type': 'application/json' }
      const url = `https://${host}/webhook_verification_key/get`
      return readKey(await context.fetchText(url, { method: 'POST', headers, body }))
    },
    KEEP_MS,
    context.keyLookups,
  )
  return {
    proof: ['plaid-verification'],
    requestLine: BODY_ALONE,
    authenticate(reading): Outcome | Promise<Outcome> {
      const token = reading.headers.only('plaid-verification')
      if (token === null) return reject('duplicate-signature')
      if (token === undefined || token === '') return reject('missing-signature')
      const jwt = readJwt(token, ['ES256'])
      if ('kind' in jwt) return jwt
      if (jwt.keyId === null || !KEY_ID.test(jwt.keyId)) return reject('unknown-key')
      const { keyId } = jwt
      const judge = (found: PlaidKey): Outcome => {
        const outcome = prove(jwt, found, tolerance, reading)
        if (outcome.kind === 'authentic') cache.proved(keyId)
        return outcome
      }
      const known = cache.peek(keyId, reading.nowMs)
      if (known !== undefined) return judge(known)
      return cache
        .get(keyId, reading.nowMs)
        .then(found => (found === null ? keyUnavailable('Plaid’s key') : judge(found)))
    },
  }
}

function readKey(text: string): PlaidKey {
  const { key } = JSON.parse(text) as { key: JsonWebKey & { expired_at?: number | null } }
  const object = createPublicKey({ key, format: 'jwk' })
  if (object.asymmetricKeyType !== 'ec') throw new Error('not an EC key')
  return {
    key: object,
    expiredMs: typeof key.expired_at === 'number' ? key.expired_at * 1000 : Number.POSITIVE_INFINITY,
  }
}

function prove(jwt: Jwt, known: PlaidKey, tolerance: Tolerance, reading: Reading): Outcome {
  if (reading.nowMs >= known.expiredMs) return reject('expired-key')
  const key = jwtKey(jwt, [known], reading.effort)
  if ('kind' in key) return key
  const claims = readClaims(jwt)
  if (claims === null) return reject('malformed-token')
  const issued = timeClaim(claims, 'iat')
  if (issued === null) return reject('missing-timestamp')
  const late = checkFreshness(issued, reading.nowMs, tolerance)
  if (late !== null) return late
  const hash = createHash('sha256').update(reading.request.body).digest('hex')
  const claimed = claims.request_body_sha256
  if (typeof claimed !== 'string' || !equalAscii(claimed, hash)) return reject('body-not-bound')
  return {
    kind: 'authentic',
    secretIndex: 0,
    sentAt: issued,
    signedParts: bodyParts(reading.request.body, jwt.signed),
    covers: coversBody,
  }
}
