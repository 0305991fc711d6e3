/**
 * Google Cloud Pub/Sub push: an OpenID token of a service account. Any customer of Google can have one made for
 * our audience, so the account's email is checked as well. The body is not signed.
 * Facts: google-auth-library 11.3.4; cloud.google.com/pubsub authenticate push subscriptions.
 */
import { type CertifiedKey, checkValidity, keyUnavailable, readCertificate } from './certificate.ts'
import type { SchemeContext } from './context.ts'
import { checkJwtTimes, claimNames, type Jwt, jwtKey, readClaims, readJwt, timeClaim } from './jwt.ts'
import { KeyCache } from './key-cache.ts'
import { asLabel, atPath } from './location.ts'
import type { Reading } from './reading.ts'
import { type Rejection, reject } from './rejections.ts'
import { BODY_ALONE, bodyParts, coversNothing, type Outcome, type Verifier } from './verifier.ts'

const CERTIFICATES_URL = 'https://www.googleapis.com/oauth2/v1/certs'
const ISSUERS = ['https://accounts.google.com', 'accounts.google.com']
const KEEP_MS = 3_600_000
/** A key that is not among those that are kept is looked up anew, but not more often than this. */
const REFRESH_MS = 60_000

type Certificates = ReadonlyMap<string, CertifiedKey>

export function pubsub(context: SchemeContext): Verifier {
  const audience = context.texts('audience')
  const emails = context.texts('email')
  const refresh = new KeyCache(
    async url => readCertificates(await context.fetchText(url)),
    REFRESH_MS,
    context.keyLookups,
  )
  let current: { readonly keys: Certificates; readonly untilMs: number } | undefined
  const judge = (jwt: Jwt, keys: Certificates, reading: Reading): Outcome =>
    prove(jwt, keys.get(jwt.keyId ?? ''), audience, emails, reading)
  return {
    proof: ['authorization'],
    requestLine: BODY_ALONE,
    authenticate(reading): Outcome | Promise<Outcome> {
      const { nowMs } = reading
      const jwt = readToken(reading)
      if ('kind' in jwt) return jwt
      if (current !== undefined && nowMs < current.untilMs && current.keys.has(jwt.keyId ?? '')) {
        return judge(jwt, current.keys, reading)
      }
      const recent = refresh.peek(CERTIFICATES_URL, nowMs)
      if (recent !== undefined) return judge(jwt, recent, reading)
      return refresh.get(CERTIFICATES_URL, nowMs).then(keys => {
        if (keys === null) return keyUnavailable('Google’s certificates')
        current = { keys, untilMs: nowMs + KEEP_MS }
        return judge(jwt, keys, reading)
      })
    },
  }
}

function readToken(reading: Reading): Jwt | Rejection {
  const value = reading.headers.only('authorization')
  if (value === null) return reject('duplicate-signature')
  if (value === undefined || value === '') return reject('missing-signature')
  const token = /^bearer +(\S+)$/i.exec(value)?.[1]
  return token === undefined ? reject('malformed-token') : readJwt(token, ['RS256'])
}

function readCertificates(text: string): Certificates {
  const pems = JSON.parse(text) as Record<string, string>
  return new Map(Object.entries(pems).map(([keyId, pem]) => [keyId, readCertificate(pem)]))
}

function prove(
  jwt: Jwt,
  certified: CertifiedKey | undefined,
  audience: readonly string[],
  emails: readonly string[],
  reading: Reading,
): Outcome {
  if (certified === undefined) return reject('unknown-key')
  const expired = checkValidity(certified, reading.nowMs)
  if (expired !== null) return expired
  const key = jwtKey(jwt, [certified], reading.effort)
  if ('kind' in key) return key
  const claims = readClaims(jwt)
  if (claims === null) return reject('malformed-token')
  const late = checkJwtTimes(claims, reading.nowMs, { requireExpiry: true, leewayMs: 5_000 })
  if (late !== null) return late
  const { aud, iss, email, email_verified } = claims
  if (!claimNames(aud, audience) || !claimNames(iss, ISSUERS)) return reject('wrong-claim')
  if (!claimNames(email, emails) || email_verified !== true) {
    return reject('wrong-claim', 'The token is of another service account, or its email is not verified.')
  }
  const message = atPath(reading.json().value, ['message'])
  const id = asLabel(atPath(message, ['messageId'])) ?? asLabel(atPath(message, ['message_id']))
  return {
    kind: 'authentic',
    secretIndex: 0,
    sentAt: timeClaim(claims, 'iat'),
    signedParts: id === null ? bodyParts(reading.request.body, jwt.signed) : [id],
    covers: coversNothing,
    id,
    type: asLabel(atPath(message, ['attributes', 'eventType'])),
  }
}
