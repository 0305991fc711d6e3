/**
 * Compact JSON Web Tokens, strictly: three canonical base64url segments, an algorithm that the scheme pinned, no
 * critical extensions. RFC 7515, RFC 7519. Synchronous, so that a token costs no more than its MAC.
 */
import { createHmac, type KeyObject, verify as verifySignature } from 'node:crypto'
import { equalAscii } from './compare.ts'
import type { Effort, HashName } from './effort.ts'
import { decodeStrict } from './encoding.ts'
import { type Rejection, reject } from './rejections.ts'

export type JwtAlgorithm = 'HS256' | 'HS384' | 'HS512' | 'RS256' | 'ES256'

/** A token whose head was read; what it claims is read once it is proven. */
export interface Jwt {
  readonly algorithm: JwtAlgorithm
  readonly keyId: string | null
  readonly signed: string
  readonly signature: string
}

const TOKEN_MAX = 16_384
/** A head names an algorithm and a key. */
const HEAD_MAX = 1_024
const HMAC: Partial<Record<JwtAlgorithm, HashName>> = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' }

function segment(text: string): Record<string, unknown> | null {
  const bytes = decodeStrict(text, 'base64url')
  if (bytes === null) return null
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null
  } catch {
    return null
  }
}

/** The head of a token, nothing of it proven yet. */
export function readJwt(text: string, algorithms: readonly JwtAlgorithm[]): Jwt | Rejection {
  const parts = text.length > TOKEN_MAX ? [] : text.split('.')
  const [head, payload, signature] = parts
  if (parts.length !== 3 || head === undefined || payload === undefined || signature === undefined) {
    return reject('malformed-token')
  }
  const header = head.length > HEAD_MAX ? null : segment(head)
  if (header === null || Object.hasOwn(header, 'crit') || Object.hasOwn(header, 'b64')) {
    return reject('malformed-token')
  }
  const algorithm = algorithms.find(name => name === header.alg)
  if (algorithm === undefined) return reject('wrong-algorithm')
  if (signature === '') return reject('missing-signature')
  const keyId = typeof header.kid === 'string' && header.kid.length <= 256 ? header.kid : null
  return { algorithm, keyId, signed: `${head}.${payload}`, signature }
}

/** What a token says. */
export type Claims = Readonly<Record<string, unknown>>

/** The claims of a token that is proven; null where they are no JSON object. */
export function readClaims(jwt: Jwt): Claims | null {
  return segment(jwt.signed.slice(jwt.signed.indexOf('.') + 1))
}

/** The key that signed the token, or why there is none. */
export function jwtKey<K extends { readonly key: KeyObject }>(
  jwt: Jwt,
  keys: readonly K[],
  effort: Effort,
): K | Rejection {
  for (const candidate of keys) {
    if (!payFor(jwt, effort)) return reject('too-much-work')
    if (provesJwt(jwt, candidate.key)) return candidate
  }
  return reject('wrong-signature')
}

function payFor({ algorithm, signed }: Jwt, effort: Effort): boolean {
  const hash = HMAC[algorithm]
  if (hash !== undefined) return effort.hash(hash, signed.length)
  return effort.signature(algorithm === 'ES256' ? 'ecdsa' : 'rsa', signed.length)
}

/** Whether a key signed the token. */
function provesJwt(jwt: Jwt, key: KeyObject): boolean {
  const hash = HMAC[jwt.algorithm]
  if (hash !== undefined) {
    return (
      key.type === 'secret' &&
      equalAscii(jwt.signature, createHmac(hash, key).update(jwt.signed).digest('base64url'))
    )
  }
  const bytes = decodeStrict(jwt.signature, 'base64url')
  if (bytes === null || key.type !== 'public') return false
  const [type, options] =
    jwt.algorithm === 'ES256'
      ? (['ec', { key, dsaEncoding: 'ieee-p1363' }] as const)
      : (['rsa', { key }] as const)
  if (key.asymmetricKeyType !== type || (type === 'ec' && bytes.length !== 64)) return false
  return verifySignature('sha256', Buffer.from(jwt.signed), options, bytes)
}

/** A time claim in whole ms since the epoch; null where there is none or it is no number that a clock could show. */
export function timeClaim(claims: Claims, name: 'exp' | 'nbf' | 'iat'): number | null {
  const value = claims[name]
  if (typeof value !== 'number' || !(value >= 0)) return null
  const ms = Math.floor(value * 1000)
  return Number.isSafeInteger(ms) ? ms : null
}

/** What the times of a token must say. */
export interface JwtTimes {
  readonly requireExpiry: boolean
  readonly leewayMs: number
}

/** V5 for tokens: expiry, not-before and issue against the clock. */
export function checkJwtTimes(
  claims: Claims,
  nowMs: number,
  { requireExpiry, leewayMs }: JwtTimes,
): Rejection | null {
  for (const name of ['exp', 'nbf', 'iat'] as const) {
    if (Object.hasOwn(claims, name) && timeClaim(claims, name) === null) return reject('malformed-timestamp')
  }
  const expiry = timeClaim(claims, 'exp')
  if (expiry === null && requireExpiry) return reject('missing-timestamp', 'The token has no expiry.')
  if (expiry !== null && nowMs >= expiry + leewayMs)
    return reject('stale-timestamp', 'The token has expired.')
  const notBefore = timeClaim(claims, 'nbf')
  if (notBefore !== null && nowMs < notBefore - leewayMs)
    return reject('future-timestamp', 'The token holds from later on.')
  const issued = timeClaim(claims, 'iat')
  if (issued !== null && nowMs < issued - FUTURE_MS)
    return reject('future-timestamp', 'The token was issued later than now.')
  return null
}

const FUTURE_MS = 300_000

/** Whether a claim of audience or issuer names one of the expected texts. */
export function claimNames(value: unknown, expected: readonly string[]): boolean {
  if (typeof value === 'string') return expected.includes(value)
  return Array.isArray(value) && value.some(item => typeof item === 'string' && expected.includes(item))
}
