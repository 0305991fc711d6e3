/**
 * AWS SNS over HTTPS: RSA over named fields of the message, with a certificate whose address the message names.
 * A genuine signature only says "some AWS topic", so the source lists the topics it takes.
 * Facts: sns-validator 0.3.5, sns-payload-validator 2.1.0 (whose pinned file name this follows).
 */
import { verify as verifySignature } from 'node:crypto'
import { type CertifiedKey, certificateCache, checkValidity, keyUnavailable } from './certificate.ts'
import type { SchemeContext } from './context.ts'
import { decodeStrict } from './encoding.ts'
import { checkFreshness, type Tolerance } from './freshness.ts'
import { type Challenge, emptyAnswer } from './handshakes.ts'
import type { Reading } from './reading.ts'
import { type Rejection, reject } from './rejections.ts'
import { readTime } from './timestamp.ts'
import { BODY_ALONE, type Covers, type Outcome, type Verifier } from './verifier.ts'

const HOST = /^sns\.[a-z0-9-]{3,40}\.amazonaws\.com(\.cn)?$/
const CERTIFICATE_PATH = /^\/SimpleNotificationService-[A-Za-z0-9-]{1,100}\.pem$/
const NOTIFICATION = ['Message', 'MessageId', 'Subject', 'Timestamp', 'TopicArn', 'Type']
const CONFIRMATION = ['Message', 'MessageId', 'SubscribeURL', 'Timestamp', 'Token', 'TopicArn', 'Type']
const SIGNED: Readonly<Record<string, readonly string[]>> = {
  Notification: NOTIFICATION,
  SubscriptionConfirmation: CONFIRMATION,
  UnsubscribeConfirmation: CONFIRMATION,
}
const HASH: Readonly<Record<string, string>> = { '1': 'sha1', '2': 'sha256' }

interface Message {
  readonly fields: Readonly<Record<string, string>>
  readonly text: string
  readonly hash: string
  readonly signature: Buffer
  readonly certificateUrl: string
  readonly sentAt: number
}

export function sns(context: SchemeContext): Verifier {
  const topics = new Set(context.texts('topicArns'))
  const tolerance = context.tolerance({ tolerance: '1h', future: '5m' })
  const certificates = certificateCache(context.fetchText)
  return {
    proof: [],
    requestLine: BODY_ALONE,
    authenticate(reading): Outcome | Promise<Outcome> {
      const message = readMessage(reading)
      if ('kind' in message) return message
      const known = certificates.peek(message.certificateUrl, reading.nowMs)
      if (known !== undefined) return prove(message, known, topics, tolerance, reading.nowMs)
      return certificates
        .get(message.certificateUrl, reading.nowMs)
        .then(found =>
          found === null
            ? keyUnavailable('The SNS certificate')
            : prove(message, found, topics, tolerance, reading.nowMs),
        )
    },
    respond: reading => confirm(reading),
  }
}

function readMessage(reading: Reading): Message | Rejection {
  const { value } = reading.json()
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return reject('malformed-body')
  const fields: Record<string, string> = Object.create(null)
  for (const [name, text] of Object.entries(value)) if (typeof text === 'string') fields[name] = text
  const signed = Object.hasOwn(SIGNED, fields.Type ?? '') ? SIGNED[fields.Type ?? ''] : undefined
  if (signed === undefined) return reject('malformed-body', 'Type is none of the kinds that SNS sends.')
  if (fields.Signature === undefined || fields.Signature === '') return reject('missing-signature')
  const signature = decodeStrict(fields.Signature, 'base64')
  if (signature === null) return reject('malformed-signature')
  const hash = HASH[fields.SignatureVersion ?? '']
  if (hash === undefined) return reject('unknown-signature-version')
  const certificateUrl = fields.SigningCertURL ?? ''
  if (!isSnsUrl(certificateUrl, CERTIFICATE_PATH)) return reject('forbidden-key-url')
  const text = canonicalText(signed, fields)
  if (text === null) return reject('malformed-body', 'A signed field is missing.')
  const sentAt = readTime(fields.Timestamp, 'rfc3339')
  if (sentAt === null) return reject('malformed-timestamp')
  return { fields, text, hash, signature, certificateUrl, sentAt }
}

/** `Name\nvalue\n` of the signed fields; V4: only the message and the subject may hold line ends. */
function canonicalText(names: readonly string[], fields: Readonly<Record<string, string>>): string | null {
  let text = ''
  for (const name of names) {
    const value = fields[name]
    if (value === undefined) {
      if (name === 'Subject') continue
      return null
    }
    if (value.includes('\n') && name !== 'Message' && name !== 'Subject') return null
    text += `${name}\n${value}\n`
  }
  return text
}

/** An address of SNS itself: https, its host, no port, user, query of a certificate or fragment. */
function isSnsUrl(text: string, path: RegExp): boolean {
  if (!URL.canParse(text)) return false
  const url = new URL(text)
  const plain = url.port === '' && url.username === '' && url.password === '' && url.hash === ''
  const query = path === CERTIFICATE_PATH ? url.search === '' : true
  return url.protocol === 'https:' && HOST.test(url.hostname) && path.test(url.pathname) && plain && query
}

function prove(
  message: Message,
  certified: CertifiedKey,
  topics: ReadonlySet<string>,
  tolerance: Tolerance,
  nowMs: number,
): Outcome {
  const expired = checkValidity(certified, nowMs)
  if (expired !== null) return expired
  const signed = Buffer.from(message.text, 'utf8')
  if (!verifySignature(message.hash, signed, certified.key, message.signature))
    return reject('wrong-signature')
  if (!topics.has(message.fields.TopicArn ?? '')) return reject('topic-not-allowed')
  const late = checkFreshness(message.sentAt, nowMs, tolerance)
  if (late !== null) return late
  const { sentAt, text, fields } = message
  const names = SIGNED[fields.Type ?? ''] ?? []
  const covers: Covers = place =>
    place.from === 'json' && place.path.length === 1 && names.includes(String(place.path[0]))
  return { kind: 'authentic', secretIndex: 0, sentAt, signedParts: [text], covers }
}

/** A proven request to confirm a subscription to one of our topics: its address is SNS's own, or it is refused. */
function confirm(reading: Reading): Challenge | Rejection | null {
  const message = reading.json().value as Record<string, unknown>
  if (message.Type !== 'SubscriptionConfirmation') return null
  const address = String(message.SubscribeURL)
  if (!isSnsUrl(address, /^\/$/)) return reject('challenge-refused')
  const query = new URL(address).searchParams
  if (query.get('Action') !== 'ConfirmSubscription' || query.get('TopicArn') !== message.TopicArn) {
    return reject('challenge-refused')
  }
  return { ...emptyAnswer('sns-subscription'), confirmUrl: address }
}
