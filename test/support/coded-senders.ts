/** A genuine request of every sender whose proof is checked by code or a public key. */
import { createHash, createPrivateKey, generateKeyPairSync, sign } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { SourceSettings } from '@sallyport/ingress/sources'
import { hmac, NOW, NOW_MS, type RequestParts, sharedToken, sourceOf } from './signed-request.ts'
import { SIGNING_CERTIFICATE, SIGNING_KEY } from './signing-certificate.ts'

/** Where all of them send, and what those that sign the URL sign. */
export const URL_SIGNED = 'https://hooks.example.com/in'
const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' }
const TIME = '2027-01-01T00:00:00Z'
const ED25519 = generateKeyPairSync('ed25519')
const P256 = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const RSA = createPrivateKey(SIGNING_KEY)

const sha256 = (text: string, encoding: 'hex' | 'base64' | 'base64url' = 'hex') =>
  createHash('sha256').update(text).digest(encoding)

function rsa(text: string): string {
  return sign('sha256', Buffer.from(text), RSA).toString('base64')
}

function token(algorithm: string, claims: object, signer: (text: Buffer) => Buffer): string {
  const text = [{ alg: algorithm, kid: 'k1' }, claims]
    .map(part => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  return `${text}.${signer(Buffer.from(text)).toString('base64url')}`
}

interface Coded {
  readonly settings: SourceSettings
  /** What the sender would write as its proof. */
  readonly proof: string
  /** The request that carries a proof; `body` where it is not the genuine one. */
  readonly request: (proof: string, body?: string) => RequestParts
  /** The body that the proof binds to the byte; absent where only a part of it is bound, or none. */
  readonly bound?: string
  /** What a fetch of the sender's keys gives. */
  readonly keys?: string
}

/** A sender whose proof stands in a header. */
function inHeader(
  settings: SourceSettings,
  header: string,
  proof: string,
  body: string,
  others: Readonly<Record<string, string>> = {},
): Coded {
  const request = (text: string, sent = body) => ({ headers: { ...others, [header]: text }, body: sent })
  return { settings, proof, request }
}

const bound = (coded: Coded, body: string): Coded => ({ ...coded, bound: body })
const form = (fields: Record<string, string>) => new URLSearchParams(fields).toString()

const CERTIFICATE_URL = 'https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123.pem'
const PAYPAL_URL = 'https://api.paypal.com/v1/notifications/certs/CERT-1'
const CONTENTFUL = 'x-contentful-signed-headers,x-contentful-timestamp'
const ORDER = {
  Message: 'm',
  MessageId: 'i',
  Timestamp: TIME,
  TopicArn: 'arn:aws:sns:eu-central-1:123456789012:t',
  Type: 'Notification',
}
const ADYEN = {
  pspReference: 'p',
  merchantAccountCode: 'm',
  amount: { value: 1, currency: 'EUR' },
  eventCode: 'AUTHORISATION',
  success: 'true',
}
const times = { iat: NOW, nbf: NOW, exp: NOW + 300 }

const CODED: readonly Coded[] = [
  bound(
    inHeader(
      {
        preset: 'discord',
        publicKeys: [
          Buffer.from(ED25519.publicKey.export({ format: 'jwk' }).x ?? '', 'base64url').toString('hex'),
        ],
      },
      'X-Signature-Ed25519',
      sign(null, Buffer.from(`${NOW}{}`), ED25519.privateKey).toString('hex'),
      '{}',
      { 'X-Signature-Timestamp': String(NOW) },
    ),
    '{}',
  ),
  bound(
    inHeader(
      {
        preset: 'standard-webhooks-v1a',
        publicKeys: [
          `whpk_${Buffer.from(ED25519.publicKey.export({ format: 'jwk' }).x ?? '', 'base64url').toString('base64')}`,
        ],
      },
      'webhook-signature',
      `v1a,${sign(null, Buffer.from(`m1.${NOW}.{}`), ED25519.privateKey).toString('base64')}`,
      '{}',
      { 'webhook-id': 'm1', 'webhook-timestamp': String(NOW) },
    ),
    '{}',
  ),
  bound(
    inHeader(
      {
        preset: 'sendgrid',
        publicKeys: [P256.publicKey.export({ format: 'der', type: 'spki' }).toString('base64')],
      },
      'X-Twilio-Email-Event-Webhook-Signature',
      sign('sha256', Buffer.from(`${NOW}[{}]`), P256.privateKey).toString('base64'),
      '[{}]',
      { 'X-Twilio-Email-Event-Webhook-Timestamp': String(NOW) },
    ),
    '[{}]',
  ),
  bound(
    inHeader(
      { preset: 'svix', secrets: ['whsec_c2VjcmV0'] },
      'svix-signature',
      `v1,${hmac('sha256', 'secret', `m1.${NOW}.{}`, 'base64')}`,
      '{}',
      { 'svix-id': 'm1', 'svix-timestamp': String(NOW) },
    ),
    '{}',
  ),
  inHeader(
    { preset: 'twilio', secrets: ['s'] },
    'X-Twilio-Signature',
    hmac('sha1', 's', `${URL_SIGNED}a1b2`, 'base64'),
    'b=2&a=1',
    FORM,
  ),
  inHeader(
    { preset: 'mandrill', secrets: ['s'] },
    'X-Mandrill-Signature',
    hmac('sha1', 's', `${URL_SIGNED}mandrill_events[{}]`, 'base64'),
    'mandrill_events=%5B%7B%7D%5D',
    FORM,
  ),
  inHeader(
    { preset: 'plivo', secrets: ['s'] },
    'X-Plivo-Signature-V3',
    hmac('sha256', 's', `${URL_SIGNED}?a1b2.n`, 'base64'),
    'b=2&a=1',
    { ...FORM, 'X-Plivo-Signature-V3-Nonce': 'n' },
  ),
  bound(
    inHeader(
      { preset: 'docusign', secrets: ['s'] },
      'X-DocuSign-Signature-1',
      hmac('sha256', 's', '{}', 'base64'),
      '{}',
    ),
    '{}',
  ),
  bound(
    inHeader(
      { preset: 'box', secrets: ['s'] },
      'BOX-SIGNATURE-PRIMARY',
      hmac('sha256', 's', `{}${TIME}`, 'base64'),
      '{}',
      {
        'BOX-SIGNATURE-VERSION': '1',
        'BOX-SIGNATURE-ALGORITHM': 'HmacSHA256',
        'BOX-DELIVERY-TIMESTAMP': TIME,
      },
    ),
    '{}',
  ),
  bound(
    inHeader(
      { preset: 'contentful', secrets: ['s'] },
      'X-Contentful-Signature',
      hmac(
        'sha256',
        's',
        `POST\n/in\nx-contentful-signed-headers:${CONTENTFUL};x-contentful-timestamp:${NOW_MS}\n{}`,
      ),
      '{}',
      { 'X-Contentful-Timestamp': String(NOW_MS), 'X-Contentful-Signed-Headers': CONTENTFUL },
    ),
    '{}',
  ),
  bound(
    inHeader(
      { preset: 'netlify', secrets: ['s'] },
      'X-Webhook-Signature',
      sharedToken({ iss: 'netlify', sha256: sha256('{}') }, 's'),
      '{}',
    ),
    '{}',
  ),
  bound(
    inHeader(
      { preset: 'livekit', secrets: ['s'], apiKey: 'API' },
      'Authorization',
      sharedToken({ iss: 'API', ...times, sha256: sha256('{}', 'base64') }, 's'),
      '{}',
    ),
    '{}',
  ),
  bound(
    inHeader(
      { preset: 'qstash', secrets: ['s'] },
      'Upstash-Signature',
      sharedToken({ iss: 'Upstash', sub: URL_SIGNED, ...times, body: sha256('{}', 'base64url') }, 's'),
      '{}',
    ),
    '{}',
  ),
  bound(
    inHeader(
      { preset: 'messagebird', secrets: ['s'] },
      'MessageBird-Signature-JWT',
      sharedToken(
        {
          iss: 'MessageBird',
          jti: 'j',
          ...times,
          url_hash: sha256(URL_SIGNED),
          payload_hash: sha256('{}'),
        },
        's',
      ),
      '{}',
    ),
    '{}',
  ),
  inHeader({ preset: 'monday', secrets: ['s'] }, 'Authorization', sharedToken(times, 's'), '{"event":{}}'),
  {
    ...bound(
      inHeader(
        { preset: 'plaid', clientId: 'c', secrets: ['s'] },
        'Plaid-Verification',
        token('ES256', { iat: NOW, request_body_sha256: sha256('{}') }, text =>
          sign('sha256', text, { key: P256.privateKey, dsaEncoding: 'ieee-p1363' }),
        ),
        '{}',
      ),
      '{}',
    ),
    keys: JSON.stringify({ key: P256.publicKey.export({ format: 'jwk' }) }),
  },
  {
    settings: { preset: 'pubsub', audience: ['a'], email: ['e'] },
    proof: token(
      'RS256',
      { aud: 'a', iss: 'https://accounts.google.com', email: 'e', email_verified: true, ...times },
      text => sign('sha256', text, RSA),
    ),
    request: proof => ({
      headers: { Authorization: `Bearer ${proof}` },
      body: '{"message":{"messageId":"7"}}',
    }),
    keys: JSON.stringify({ k1: SIGNING_CERTIFICATE }),
  },
  {
    ...bound(
      inHeader(
        { preset: 'paypal', webhookId: 'W' },
        'PAYPAL-TRANSMISSION-SIG',
        rsa(`t|${TIME}|W|${crc32('{}')}`),
        '{}',
        {
          'PAYPAL-TRANSMISSION-ID': 't',
          'PAYPAL-TRANSMISSION-TIME': TIME,
          'PAYPAL-CERT-URL': PAYPAL_URL,
          'PAYPAL-AUTH-ALGO': 'SHA256withRSA',
        },
      ),
      '{}',
    ),
    keys: SIGNING_CERTIFICATE,
  },
  {
    settings: { preset: 'sns', topicArns: ['arn:aws:sns:eu-central-1:123456789012:t'] },
    proof: rsa(
      Object.entries(ORDER)
        .map(([name, value]) => `${name}\n${value}\n`)
        .join(''),
    ),
    request: Signature => ({
      body: JSON.stringify({ ...ORDER, SignatureVersion: '2', SigningCertURL: CERTIFICATE_URL, Signature }),
    }),
    keys: SIGNING_CERTIFICATE,
  },
  {
    settings: { preset: 'adyen-payments', secrets: ['c0ffee'] },
    proof: hmac('sha256', Buffer.from('c0ffee', 'hex'), 'p::m::1:EUR:AUTHORISATION:true', 'base64'),
    request: hmacSignature => ({
      body: JSON.stringify({
        notificationItems: [{ NotificationRequestItem: { ...ADYEN, additionalData: { hmacSignature } } }],
      }),
    }),
  },
  {
    settings: { preset: 'mailgun', secrets: ['s'] },
    proof: hmac('sha256', 's', `${NOW}tok`),
    request: signature => ({
      body: JSON.stringify({ signature: { timestamp: String(NOW), token: 'tok', signature } }),
    }),
  },
  {
    settings: { preset: 'braintree', secrets: ['s'], publicKey: 'pub' },
    proof: hmac('sha1', createHash('sha1').update('s').digest(), 'PGE+'),
    request: proof => ({
      headers: FORM,
      body: form({ bt_signature: `pub|${proof}`, bt_payload: 'PGE+' }),
    }),
  },
  {
    settings: { preset: 'msgraph', secrets: ['state-42'] },
    proof: 'state-42',
    request: clientState => ({ body: JSON.stringify({ value: [{ clientState }] }) }),
  },
  {
    settings: { preset: 'salesforce-outbound', secrets: ['token-42'], organizationIds: ['00D000000000001'] },
    proof: 'token-42',
    request: proof => ({
      url: `${URL_SIGNED}?token=${encodeURIComponent(proof.toWellFormed())}`,
      body: '<OrganizationId>00D000000000001</OrganizationId>',
    }),
  },
]

/** The senders, each with a source that verifies it. */
export const CODED_SENDERS = CODED.map(({ settings, keys, ...coded }) => ({
  ...coded,
  name: settings.preset as string,
  settings,
  source: sourceOf(settings, { fetchText: async () => keys ?? Promise.reject(new Error('offline')) }),
}))
