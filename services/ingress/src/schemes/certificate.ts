import { type KeyObject, X509Certificate } from 'node:crypto'
import type { FetchText } from './fetch.ts'
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
export function certificateCache(fetchText: FetchText): KeyCache<CertifiedKey> {
  return new KeyCache(async url => readCertificate(await fetchText(url)), KEEP_MS)
}

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
