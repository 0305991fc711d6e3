/**
 * Braintree: a form with `bt_payload` (base64 XML) and `bt_signature` (`public key|hex HMAC-SHA1` pairs, joined
 * with &). The key is the SHA-1 of the private key. Facts: braintree 3.40.0 lib/braintree/webhook_notification_gateway.js.
 */
import { createHash, createHmac, createSecretKey, type Hash, type KeyObject } from 'node:crypto'
import { equalAscii } from './compare.ts'
import type { SchemeContext } from './context.ts'
import { onlyValue } from './form.ts'
import { type Challenge, textAnswer } from './handshakes.ts'
import type { Reading } from './reading.ts'
import { type Rejection, reject } from './rejections.ts'
import { readTime } from './timestamp.ts'
import { BODY_ALONE, coversNothing, type Outcome, type Verifier } from './verifier.ts'

/** Braintree writes one pair for each public key of the account. */
const PAIRS_BYTES_MAX = 16_384
const PAYLOAD = /^[A-Za-z0-9+=/\n]+$/

interface BraintreeKey {
  readonly key: KeyObject
  readonly secretIndex: number
}

export function braintree(context: SchemeContext): Verifier {
  const publicKey = context.required('publicKey')
  const keys = context.keys().map(({ text, secretIndex }) => ({
    key: createSecretKey(createHash('sha1').update(text, 'utf8').digest()),
    secretIndex,
  }))
  return {
    proof: [],
    requestLine: BODY_ALONE,
    greet: reading => greet(reading, publicKey, keys),
    authenticate: reading => authenticate(reading, publicKey, keys),
  }
}

/** H1: the challenge is 20 to 32 hex digits, which no payload of a delivery is. */
function greet(
  reading: Reading,
  publicKey: string,
  keys: readonly BraintreeKey[],
): Challenge | Rejection | null {
  if (reading.request.method !== 'GET') return null
  const challenge = reading.queryField('bt_challenge')
  const [current] = keys
  if (challenge === null || current === undefined || !/^[a-f0-9]{20,32}$/.test(challenge)) {
    return reject('challenge-refused')
  }
  return textAnswer('braintree-challenge', `${publicKey}|${mac(current.key, challenge)}`)
}

function authenticate(reading: Reading, publicKey: string, keys: readonly BraintreeKey[]): Outcome {
  const fields = reading.formBytes() ?? []
  const pairs = onlyValue(fields, 'bt_signature')
  const payload = onlyValue(fields, 'bt_payload')
  if (pairs === null || pairs.length === 0) return reject('missing-signature')
  if (pairs.length > PAIRS_BYTES_MAX) return reject('malformed-signature')
  if (payload === null || payload.length === 0) return reject('malformed-body')
  // The answer to a challenge must never pass as a delivery (H1).
  if (payload.length <= 33 && /^[a-f0-9]{20,32}\n?$/.test(payload.toString('latin1')))
    return reject('malformed-body')
  const ours = pairs
    .toString('utf8')
    .split('&', 100)
    .map(pair => pair.split('|'))
    .filter(([key, , ...rest]) => key === publicKey && rest.length === 0)
  if (ours.length === 0) return reject('unknown-key', 'No signature is for our public key.')
  if (ours.length > 1) return reject('duplicate-signature')
  const signature = ours[0]?.[1] ?? ''
  for (const { key, secretIndex } of keys) {
    if (!reading.effort.hash('sha1', payload.length)) return reject('too-much-work')
    if (!new PayloadMac(key, payload).matches(signature)) continue
    const text = payload.toString('latin1')
    return PAYLOAD.test(text)
      ? { kind: 'authentic', secretIndex, ...readPayload(text) }
      : reject('malformed-body')
  }
  return reject(/^[0-9a-f]{40}$/.test(signature) ? 'wrong-signature' : 'malformed-signature')
}

/** The kind and time of the notification: two elements at the top of an XML of Braintree's own making. */
function readPayload(payload: string) {
  const xml = Buffer.from(payload, 'base64').toString('utf8').slice(0, 1_000_000)
  const type = /<kind>([^<]{1,200})<\/kind>/.exec(xml)?.[1] ?? null
  const time = /<timestamp(?: type="datetime")?>([^<]{1,40})<\/timestamp>/.exec(xml)?.[1]
  return {
    type,
    id: null,
    covers: coversNothing,
    sentAt: time === undefined ? null : readTime(time, 'rfc3339'),
    signedParts: [payload.trimEnd()],
  }
}

function mac(key: KeyObject, text: string): string {
  return createHmac('sha1', key).update(text, 'latin1').digest('hex')
}

/**
 * The MACs of a payload and of the payload with a line end behind it: the libraries take one whose last newline the
 * form lost. The payload is hashed once, since both MACs begin with it (RFC 2104).
 */
class PayloadMac {
  readonly #outer: Buffer
  readonly #inner: Hash

  constructor(key: KeyObject, payload: Buffer) {
    // The key is a SHA-1, so it is shorter than a block.
    const bytes = key.export()
    this.#outer = padded(bytes, 0x5c)
    this.#inner = createHash('sha1').update(padded(bytes, 0x36)).update(payload)
  }

  matches(signature: string): boolean {
    const inners = [this.#inner.copy(), this.#inner.copy().update('\n')]
    return inners.some(inner =>
      equalAscii(signature, createHash('sha1').update(this.#outer).update(inner.digest()).digest('hex')),
    )
  }
}

const BLOCK_BYTES = 64

function padded(key: Buffer, pad: number): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES, pad)
  for (const [i, byte] of key.entries()) block[i] = byte ^ pad
  return block
}
