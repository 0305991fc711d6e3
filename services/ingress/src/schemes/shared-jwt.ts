/**
 * Senders that send a token signed with a shared secret: Netlify, LiveKit, QStash, Bird and monday.com. They differ
 * in the header, the algorithm, the claims that bind the token to the request, and how the body's hash is written.
 */
import { createHash } from 'node:crypto'
import { equalAscii } from './compare.ts'
import type { SchemeContext } from './context.ts'
import {
  type Claims,
  checkJwtTimes,
  claimNames,
  type JwtAlgorithm,
  type JwtTimes,
  jwtKey,
  readClaims,
  readJwt,
  timeClaim,
} from './jwt.ts'
import type { IndexedKey } from './keys.ts'
import { asLabel } from './location.ts'
import type { Reading } from './reading.ts'
import { type Rejection, reject } from './rejections.ts'
import {
  BODY_ALONE,
  bodyParts,
  coversBody,
  coversNothing,
  type Outcome,
  type RequestLine,
  targetOf,
  URL_TOO,
  type Verifier,
} from './verifier.ts'

interface SharedJwtRule {
  readonly header: string
  readonly algorithms: readonly JwtAlgorithm[]
  readonly times: JwtTimes
  /** Whether `bind` checks a hash of the body. */
  readonly bindsBody: boolean
  /** What of the request line its claims bind. */
  readonly requestLine: RequestLine
  /** Checks what binds the token to this request and source. */
  readonly bind: (claims: Claims, reading: Reading) => Rejection | null
  /** The id that only the token holds. */
  readonly id?: (claims: Claims) => string | null
}

function sharedJwt(keys: readonly IndexedKey[], rule: SharedJwtRule): Verifier {
  return {
    proof: [rule.header],
    requestLine: rule.requestLine,
    authenticate(reading): Outcome {
      const token = reading.headers.only(rule.header)
      if (token === null) return reject('duplicate-signature')
      if (token === undefined || token === '')
        return reject('missing-signature', `The header ${rule.header} is absent or empty.`)
      const jwt = readJwt(token, rule.algorithms)
      if ('kind' in jwt) return jwt
      const key = jwtKey(jwt, keys, reading.effort)
      if ('kind' in key) return key
      const claims = readClaims(jwt)
      if (claims === null) return reject('malformed-token')
      const failed = checkJwtTimes(claims, reading.nowMs, rule.times) ?? rule.bind(claims, reading)
      if (failed !== null) return failed
      const signedTarget = targetOf(reading, rule.requestLine)
      return {
        kind: 'authentic',
        secretIndex: key.secretIndex,
        sentAt: timeClaim(claims, 'iat'),
        signedParts: bodyParts(reading.request.body, signedTarget === '' ? jwt.signed : ''),
        signedTarget,
        covers: rule.bindsBody ? coversBody : coversNothing,
        ...(rule.id === undefined ? {} : { id: rule.id(claims) }),
      }
    },
  }
}

function sha256(data: Buffer | string, encoding: 'hex' | 'base64' | 'base64url'): string {
  return createHash('sha256').update(data).digest(encoding)
}

/** Whether a claim is the hash of the bytes, in the one form that the sender writes. */
function isHash(claim: unknown, data: Buffer | string, encoding: 'hex' | 'base64' | 'base64url'): boolean {
  return typeof claim === 'string' && equalAscii(claim, sha256(data, encoding))
}

/** Netlify: `iss` netlify, `sha256` the hex hash of the body. No times: replayable for ever. */
export function netlify(context: SchemeContext): Verifier {
  return sharedJwt(context.keys(), {
    header: 'x-webhook-signature',
    algorithms: ['HS256'],
    bindsBody: true,
    requestLine: BODY_ALONE,
    times: { requireExpiry: false, leewayMs: 5_000 },
    bind(claims, reading) {
      if (claims.iss !== 'netlify') return reject('wrong-claim')
      return isHash(claims.sha256, reading.request.body, 'hex') ? null : reject('body-not-bound')
    },
  })
}

/** LiveKit: `iss` the API key, `sha256` the base64 hash of the body. livekit-server-sdk 2.19.2. */
export function livekit(context: SchemeContext): Verifier {
  const apiKey = context.required('apiKey')
  return sharedJwt(context.keys(), {
    header: 'authorization',
    algorithms: ['HS256'],
    bindsBody: true,
    requestLine: BODY_ALONE,
    times: { requireExpiry: true, leewayMs: 10_000 },
    bind(claims, reading) {
      if (claims.iss !== apiKey) return reject('wrong-claim')
      return isHash(claims.sha256, reading.request.body, 'base64') ? null : reject('body-not-bound')
    },
  })
}

/** QStash: `iss` Upstash, `sub` the URL, `body` the base64url hash, padded or not. @upstash/qstash 2.12.0. */
export function qstash(context: SchemeContext): Verifier {
  return sharedJwt(context.keys(), {
    header: 'upstash-signature',
    algorithms: ['HS256'],
    bindsBody: true,
    requestLine: URL_TOO,
    times: { requireExpiry: true, leewayMs: 0 },
    bind(claims, reading) {
      const { iss, sub, body } = claims
      if (iss !== 'Upstash' || sub !== reading.url) return reject('wrong-claim')
      const hash = typeof body === 'string' ? body.replace(/=$/, '') : body
      return isHash(hash, reading.request.body, 'base64url') ? null : reject('body-not-bound')
    },
  })
}

/** Bird: `iss` MessageBird, `jti`, the hex hashes of URL and body. messagebird 4.0.1 lib/webhook-signature-jwt.js. */
export function messagebird(context: SchemeContext): Verifier {
  return sharedJwt(context.keys(), {
    header: 'messagebird-signature-jwt',
    algorithms: ['HS256', 'HS384', 'HS512'],
    bindsBody: true,
    requestLine: URL_TOO,
    times: { requireExpiry: true, leewayMs: 5_000 },
    bind(claims, reading) {
      const { iss, jti, url_hash, payload_hash } = claims
      if (iss !== 'MessageBird' || typeof jti !== 'string' || jti === '') return reject('wrong-claim')
      if (!isHash(url_hash, reading.url, 'hex'))
        return reject('wrong-claim', 'The token was made for another URL.')
      if (payload_hash === undefined && reading.request.body.length === 0) return null
      return isHash(payload_hash, reading.request.body, 'hex') ? null : reject('body-not-bound')
    },
    id: claims => asLabel(claims.jti),
  })
}

/** monday.com: only the claims are signed; `aud` is our URL. */
export function monday(context: SchemeContext): Verifier {
  const audience = context.texts('audience')
  return sharedJwt(context.keys(), {
    header: 'authorization',
    algorithms: ['HS256'],
    bindsBody: false,
    requestLine: BODY_ALONE,
    times: { requireExpiry: true, leewayMs: 5_000 },
    bind: claims =>
      audience.length === 0 || claimNames(claims.aud, audience) ? null : reject('wrong-claim'),
  })
}
