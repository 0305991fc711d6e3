/**
 * AWS SNS over HTTPS: RSA over named fields of the message, with a certificate whose address the message names.
 * A genuine signature only says "some AWS topic", so the source lists the topics it takes; and from the topic follows
 * the one host whose certificates and addresses count.
 *
 *   walk (which fields are there?) → certificate → is it a signature of this key? → hash → JSON → topic → time
 *
 * Facts: sns-validator 0.3.5, sns-payload-validator 2.1.0 (whose pinned file name this follows); the SNS developer
 * guide, "Verifying the signatures of Amazon SNS messages".
 */
import { createVerify } from 'node:crypto'
import { TokenBucket } from '../token-bucket.ts'
import {
  type CertifiedKey,
  certificateCache,
  checkValidity,
  isPlainUrl,
  isSignatureOf,
  keyUnavailable,
} from './certificate.ts'
import type { SchemeContext } from './context.ts'
import { decodeStrict } from './encoding.ts'
import { checkFreshness, type Tolerance } from './freshness.ts'
import { type Challenge, emptyAnswer } from './handshakes.ts'
import { type Leaf, TOO_MANY_TOKENS, walkJson } from './json-walk.ts'
import { atPath } from './location.ts'
import type { Reading } from './reading.ts'
import { type Rejection, reject } from './rejections.ts'
import { compileTopics, type Topics } from './sns-topics.ts'
import { readTime } from './timestamp.ts'
import { BODY_ALONE, type Covers, joined, type Outcome, type Verifier } from './verifier.ts'

const CERTIFICATE_PATH = /^\/SimpleNotificationService-[A-Za-z0-9-]{1,100}\.pem$/
const NOTIFICATION = ['Message', 'MessageId', 'Subject', 'Timestamp', 'TopicArn', 'Type']
const CONFIRMATION = ['Message', 'MessageId', 'SubscribeURL', 'Timestamp', 'Token', 'TopicArn', 'Type']
const SIGNED: Readonly<Record<string, readonly string[]>> = {
  Notification: NOTIFICATION,
  SubscriptionConfirmation: CONFIRMATION,
  UnsubscribeConfirmation: CONFIRMATION,
}
const HASH: Readonly<Record<string, 'sha1' | 'sha256'>> = { '1': 'sha1', '2': 'sha256' }
/** No field of SNS's but the message is longer. */
const FIELD_BYTES_MAX = 4_096
/** SNS takes messages of 256 KiB, which are twice as long where every character is escaped in JSON. */
const MESSAGE_BYTES_MAX = 524_290

/** What a message says before anything of it is proven. */
interface Claim {
  readonly leaves: ReadonlyMap<string, Leaf>
  readonly signed: readonly string[]
  readonly hash: 'sha1' | 'sha256'
  readonly signature: Buffer
  readonly certificateUrl: string
  readonly topicArn: string
  readonly sentAt: number
}

interface Rules {
  readonly topics: Topics
  readonly versions: ReadonlySet<string>
  readonly tolerance: Tolerance
}

export function sns(context: SchemeContext): Verifier {
  const versions = context.texts('signatureVersions')
  const rules: Rules = {
    topics: compileTopics(context.source, context.texts('topicArns')),
    versions: new Set(versions.length === 0 ? Object.keys(HASH) : versions),
    tolerance: context.tolerance({ tolerance: '1h', future: '5m' }),
  }
  const certificates = certificateCache(context)
  let confirmedMs = 0
  // A captured message can be sent again and again, and each confirmation is a request of ours.
  const confirmations = new TokenBucket(context.keyLookups, () => confirmedMs)
  return {
    proof: [],
    requestLine: BODY_ALONE,
    authenticate(reading): Outcome | Promise<Outcome> {
      const claim = readClaim(reading, rules)
      if ('kind' in claim) return claim
      const { certificateUrl } = claim
      const judge = (found: CertifiedKey): Outcome => {
        const outcome = prove(claim, found, rules, reading)
        if (outcome.kind === 'authentic') certificates.proved(certificateUrl)
        return outcome
      }
      const known = certificates.peek(certificateUrl, reading.nowMs)
      if (known !== undefined) return judge(known)
      return certificates
        .get(certificateUrl, reading.nowMs)
        .then(found => (found === null ? keyUnavailable('The SNS certificate') : judge(found)))
    },
    respond(reading) {
      const confirmation = confirm(reading, rules.topics)
      if (confirmation?.kind !== 'challenge') return confirmation
      confirmedMs = reading.nowMs
      return confirmations.take() === 0 ? confirmation : reject('challenge-refused')
    },
  }
}

function readClaim(reading: Reading, { topics, versions }: Rules): Claim | Rejection {
  const leaves = new Map<string, Leaf>()
  const end = walkJson(reading.request.body, ([name, ...deeper], leaf) => {
    if (typeof name === 'string' && deeper.length === 0 && leaf.isText) leaves.set(name, leaf)
    return false
  })
  if (end === 'too-long') return reject('too-much-work', TOO_MANY_TOKENS)
  if (end === 'malformed' || leaves.size === 0) return reject('malformed-body')
  const text = (name: string): string => {
    const leaf = leaves.get(name)
    const value = leaf === undefined || leaf.bytes > FIELD_BYTES_MAX ? '' : leaf.read()
    return typeof value === 'string' ? value : ''
  }
  const type = text('Type')
  const signed = Object.hasOwn(SIGNED, type) ? SIGNED[type] : undefined
  if (signed === undefined) return reject('malformed-body', 'Type is none of the kinds that SNS sends.')
  const signatureText = text('Signature')
  if (signatureText === '') return reject('missing-signature')
  const signature = decodeStrict(signatureText, 'base64')
  if (signature === null) return reject('malformed-signature')
  const version = text('SignatureVersion')
  const hash = versions.has(version) ? HASH[version] : undefined
  if (hash === undefined) return reject('unknown-signature-version')
  const [certificateUrl, topicArn] = [text('SigningCertURL'), text('TopicArn')]
  if (!isPlainUrl(certificateUrl)) return reject('forbidden-key-url')
  const url = new URL(certificateUrl)
  if (!topics.isHost(topicArn, url.host) || url.protocol !== 'https:' || !CERTIFICATE_PATH.test(url.pathname))
    return reject('forbidden-key-url')
  const sentAt = readTime(text('Timestamp'), 'rfc3339')
  if (sentAt === null) return reject('malformed-timestamp')
  return { leaves, signed, hash, signature, certificateUrl, topicArn, sentAt }
}

function prove(claim: Claim, certified: CertifiedKey, rules: Rules, reading: Reading): Outcome {
  const expired = checkValidity(certified, reading.nowMs)
  if (expired !== null) return expired
  const { hash, signature, sentAt } = claim
  // Only who has a genuine signature of SNS gets a long message read and hashed.
  if (!isSignatureOf(signature, certified.key, hash)) return reject('wrong-signature')
  const fields = readFields(claim)
  if ('kind' in fields) return fields
  const text = claim.signed.flatMap(name => lineOf(name, fields.get(name)))
  const length = text.reduce((sum, part) => sum + part.length, 0)
  if (!reading.effort.signature('rsa', length)) return reject('too-much-work')
  const verifier = createVerify(hash)
  for (const part of text) verifier.update(part)
  if (!verifier.verify(certified.key, signature)) return reject('wrong-signature')
  // What a walk saw was signed; it must be what JSON says, too.
  const { value } = reading.json()
  if (!claim.signed.every(name => isField(atPath(value, [name]), fields.get(name))))
    return reject('malformed-body')
  if (!rules.topics.has(claim.topicArn)) return reject('topic-not-allowed')
  const late = checkFreshness(sentAt, reading.nowMs, rules.tolerance)
  if (late !== null) return late
  const covers: Covers = place =>
    place.from === 'json' && place.path.length === 1 && claim.signed.includes(String(place.path[0]))
  return { kind: 'authentic', secretIndex: 0, sentAt, signedParts: [joined(text)], covers }
}

type Fields = ReadonlyMap<string, Buffer>

/**
 * The signed fields. V4: a line end divides the signed text, so that only the message may hold one. It comes first,
 * and what follows it are as many lines as there are fields: the text can be read in one way. (SNS itself refuses line
 * ends in a subject.)
 */
function readFields({ leaves, signed }: Claim): Fields | Rejection {
  const fields = new Map<string, Buffer>()
  for (const name of signed) {
    const leaf = leaves.get(name)
    if (leaf !== undefined && leaf.bytes > MESSAGE_BYTES_MAX) return reject('too-much-work')
    const value = leaf?.readBytes()
    if (value === undefined && name === 'Subject') continue
    if (value === undefined || value === null)
      return reject('malformed-body', 'A signed field is missing or no text.')
    if (name !== 'Message' && (value.includes('\n') || value.includes('\r')))
      return reject('ambiguous-text', `The signed field ${name} holds a line end.`)
    fields.set(name, value)
  }
  return fields
}

/** `Name\nvalue\n`. */
function lineOf(name: string, value: Buffer | undefined): readonly (string | Buffer)[] {
  return value === undefined ? [] : [`${name}\n`, value, '\n']
}

function isField(value: unknown, seen: Buffer | undefined): boolean {
  if (seen === undefined) return typeof value !== 'string'
  return typeof value === 'string' && Buffer.from(value).equals(seen)
}

/** A proven request to confirm a subscription to one of our topics: its address is SNS's own, or it is refused. */
function confirm(reading: Reading, topics: Topics): Challenge | Rejection | null {
  const message = reading.json().value as Record<string, unknown>
  if (message.Type !== 'SubscriptionConfirmation') return null
  const [address, topicArn] = [String(message.SubscribeURL), String(message.TopicArn)]
  if (!URL.canParse(address)) return reject('challenge-refused')
  const url = new URL(address)
  const isOurs = topics.has(topicArn) && topics.isHost(topicArn, url.host)
  // The text is what was signed: it has one writing, and nothing but a host and a query.
  if (!isOurs || address !== `https://${url.host}/${url.search}`) return reject('challenge-refused')
  if (only(url.searchParams, 'Action') !== 'ConfirmSubscription') return reject('challenge-refused')
  if (only(url.searchParams, 'TopicArn') !== topicArn) return reject('challenge-refused')
  return { ...emptyAnswer('sns-subscription'), confirmUrl: address }
}

function only(query: URLSearchParams, name: string): string | null {
  const values = query.getAll(name)
  return values.length === 1 ? (values[0] ?? null) : null
}
