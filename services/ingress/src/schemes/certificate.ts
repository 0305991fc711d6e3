import { constants, type KeyObject, publicDecrypt, X509Certificate } from 'node:crypto'
import type { SchemeContext } from './context.ts'
import { KeyCache } from './key-cache.ts'
import { type Rejection, reject, type Unavailable } from './rejections.ts'

/** An RSA key from a certificate, and when it holds. */
export interface CertifiedKey {
  readonly key: KeyObject
  readonly fromMs: number
  readonly toMs: number
}

const KEEP_MS = 3_600_000

/** Reads a PEM certificate; throws where it is none or holds another kind of key. */
export function readCertificate(pem: string): CertifiedKey {
  const certificate = new X509Certificate(pem)
  const key = certificate.publicKey
  if (key.asymmetricKeyType !== 'rsa') throw new Error('the certificate holds no RSA key')
  return { key, fromMs: Date.parse(certificate.validFrom), toMs: Date.parse(certificate.validTo) }
}

/** A cache of certificates by their address. */
export function certificateCache({ fetchText, keyLookups }: SchemeContext): KeyCache<CertifiedKey> {
  return new KeyCache(async url => readCertificate(await fetchText(url)), KEEP_MS, keyLookups)
}

/**
 * Whether a text is the one writing of its address: what a URL parser would change, or read as nothing (`/N/../X`,
 * `HTTPS://…:443`, a backslash, a trailing `?`), would be a name of its own for what is known already.
 */
export function isPlainUrl(text: string): boolean {
  return !/[?#%@\\]/.test(text) && URL.canParse(text) && new URL(text).href === text
}

/** Whether a signature is one of this key over some text: all but its owner cannot make one. Costs no hash. */
export function isSignatureOf(signature: Buffer, key: KeyObject, hash: keyof typeof DIGEST_INFO): boolean {
  const prefix = Buffer.from(DIGEST_INFO[hash], 'hex')
  try {
    const digestInfo = publicDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, signature)
    return digestInfo.subarray(0, prefix.length).equals(prefix)
  } catch {
    return false
  }
}

/** What stands before the digest in a signature of RFC 8017, 9.2. */
const DIGEST_INFO = {
  sha1: '3021300906052b0e03021a05000414',
  sha256: '3031300d060960864801650304020105000420',
} as const

/** Null where a certificate holds now. */
export function checkValidity(certified: CertifiedKey, nowMs: number): Rejection | null {
  return nowMs < certified.fromMs || nowMs > certified.toMs ? reject('expired-key') : null
}

/** What is answered while a key cannot be had. */
export function keyUnavailable(what: string): Unavailable {
  return {
    kind: 'unavailable',
    code: 'key-unavailable',
    detail: `${what} could not be fetched; the sender will try again.`,
  }
}
