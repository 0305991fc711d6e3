/**
 * PayPal: RSA-SHA256 over `transmission id|time|webhook id|CRC-32 of the body`, with a certificate from PayPal's own
 * host. The CRC is no digest: whoever has one genuine delivery can make another body with the same CRC. So the
 * signed text, not the body, is the identity: such a forgery never counts as a new event.
 * Facts: developer.paypal.com webhooks, self-verification.
 */
import { verify as verifySignature } from 'node:crypto'
import { crc32 } from 'node:zlib'
import {
  type CertifiedKey,
  certificateCache,
  checkValidity,
  isPlainUrl,
  keyUnavailable,
} from './certificate.ts'
import type { SchemeContext } from './context.ts'
import { decodeStrict } from './encoding.ts'
import { checkFreshness, type Tolerance } from './freshness.ts'
import type { Reading } from './reading.ts'
import { type Rejection, reject } from './rejections.ts'
import { readTime } from './timestamp.ts'
import { BODY_ALONE, coversNothing, type Outcome, type Verifier } from './verifier.ts'

const CERTIFICATE_URL =
  /^https:\/\/api(?:\.sandbox|-m|-m\.sandbox)?\.paypal\.com\/v1\/notifications\/certs\/CERT-[A-Za-z0-9-]{1,100}$/

interface Transmission {
  readonly text: string
  readonly signature: Buffer
  readonly certificateUrl: string
  readonly sentAt: number
}

export function paypal(context: SchemeContext): Verifier {
  const webhookId = context.required('webhookId')
  // PayPal repeats a transmission, its time included, for three days.
  const tolerance = context.tolerance({ tolerance: '3d', future: '5m' })
  const certificates = certificateCache(context)
  return {
    proof: ['paypal-transmission-sig', 'paypal-cert-url'],
    requestLine: BODY_ALONE,
    authenticate(reading): Outcome | Promise<Outcome> {
      const transmission = readTransmission(reading, webhookId)
      if ('kind' in transmission) return transmission
      const { certificateUrl } = transmission
      const judge = (found: CertifiedKey): Outcome => {
        const outcome = prove(transmission, found, tolerance, reading.nowMs)
        if (outcome.kind === 'authentic') certificates.proved(certificateUrl)
        return outcome
      }
      const known = certificates.peek(certificateUrl, reading.nowMs)
      if (known !== undefined) return judge(known)
      return certificates
        .get(certificateUrl, reading.nowMs)
        .then(found => (found === null ? keyUnavailable('The PayPal certificate') : judge(found)))
    },
  }
}

function readTransmission(reading: Reading, webhookId: string): Transmission | Rejection {
  const values: string[] = []
  for (const name of ['transmission-sig', 'transmission-id', 'transmission-time', 'cert-url', 'auth-algo']) {
    const value = reading.headers.only(`paypal-${name}`)
    if (value === null)
      return reject(name === 'transmission-sig' ? 'duplicate-signature' : 'duplicate-header')
    if (value === undefined || value === '') {
      return reject(
        name === 'transmission-time' ? 'missing-timestamp' : 'missing-signature',
        `PAYPAL-${name} is absent or empty.`,
      )
    }
    values.push(value)
  }
  const [signatureText, id, time, certificateUrl, algorithm] = values as [
    string,
    string,
    string,
    string,
    string,
  ]
  if (algorithm !== 'SHA256withRSA') return reject('wrong-algorithm')
  if (!CERTIFICATE_URL.test(certificateUrl) || !isPlainUrl(certificateUrl)) return reject('forbidden-key-url')
  if (id.includes('|')) return reject('ambiguous-text')
  const sentAt = readTime(time, 'rfc3339')
  if (sentAt === null) return reject('malformed-timestamp')
  const signature = decodeStrict(signatureText, 'base64')
  if (signature === null) return reject('malformed-signature')
  return {
    text: `${id}|${time}|${webhookId}|${crc32(reading.request.body)}`,
    signature,
    certificateUrl,
    sentAt,
  }
}

function prove(
  transmission: Transmission,
  certified: CertifiedKey,
  tolerance: Tolerance,
  nowMs: number,
): Outcome {
  const expired = checkValidity(certified, nowMs)
  if (expired !== null) return expired
  const signed = Buffer.from(transmission.text, 'utf8')
  if (!verifySignature('sha256', signed, certified.key, transmission.signature))
    return reject('wrong-signature')
  const late = checkFreshness(transmission.sentAt, nowMs, tolerance)
  if (late !== null) return late
  const { sentAt, text } = transmission
  return { kind: 'authentic', secretIndex: 0, sentAt, signedParts: [text], covers: coversNothing }
}
