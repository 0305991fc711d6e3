/**
 * Requests that nobody could prove, of every preset, in the shapes that cost a verifier most: long bodies of every
 * kind, many signatures, many secrets, long and many headers. None has a genuine proof.
 */
import { createPrivateKey, generateKeyPairSync, sign as signWith } from 'node:crypto'
import { HeaderList, type RawRequest } from '@sallyport/ingress/delivery'
import { listPresets } from '@sallyport/ingress/schemes/presets'
import type { Preset } from '@sallyport/ingress/schemes/scheme'
import type { Source, SourceSettings } from '@sallyport/ingress/sources'
import { NOW, NOW_MS, sharedToken, sourceOf } from './signed-request.ts'
import { SIGNING_CERTIFICATE, SIGNING_KEY } from './signing-certificate.ts'

export interface ForgedRequest {
  readonly preset: string
  readonly shape: string
  readonly source: Source
  readonly request: RawRequest
}

const URL_SIGNED = 'https://hooks.example.com/in'
const URL_LONG = `${URL_SIGNED}?${Array.from({ length: 1_000 }, (_, i) => `q${i}=%41`).join('&')}`
const TIME = '2027-01-01T00:00:00Z'
const TOPIC = 'arn:aws:sns:eu-central-1:123456789012:t'
const SECRETS = ['c0ffeec0ffeec0ffee', 'beefbeefbeefbeefbe', 'decade00decade00de', 'facade00facade00fa']
const WRONG_HEX = 'a'.repeat(64)
const WRONG_BASE64 = Buffer.alloc(32, 7).toString('base64')
const FORM = 'application/x-www-form-urlencoded'

const KEYS = [1, 2, 3].map(() => ({
  ed25519: generateKeyPairSync('ed25519'),
  p256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
}))

/** A signature that is well formed, by a key that the source does not hold. */
const STRANGER = generateKeyPairSync('ed25519').privateKey
const STRANGER_P256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
const STRANGER_RSA = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey

const SETTINGS: Readonly<Record<string, Partial<SourceSettings>>> = {
  paypal: { webhookId: 'w' },
  sns: { topicArns: [TOPIC] },
  pubsub: { audience: 'a', email: 'e' },
  plaid: { clientId: 'c' },
  livekit: { apiKey: 'API' },
  braintree: { publicKey: 'pub' },
  postmark: { username: 'u' },
  servicenow: { username: 'u' },
  'salesforce-outbound': { organizationIds: ['00D000000000001AAA'] },
}

function publicKeys({ name }: Preset): string[] {
  return KEYS.map(({ ed25519, p256 }) => {
    const raw = Buffer.from(ed25519.publicKey.export({ format: 'jwk' }).x as string, 'base64url')
    if (name === 'discord') return raw.toString('hex')
    if (name === 'sendgrid') return p256.publicKey.export({ format: 'der', type: 'spki' }).toString('base64')
    return `whpk_${raw.toString('base64')}`
  })
}

/** What the fetch of the sender's keys gives: keys that did not sign what is sent here. */
function keysOf(name: string): string {
  if (name === 'pubsub') return JSON.stringify({ k1: SIGNING_CERTIFICATE })
  return name === 'plaid'
    ? JSON.stringify({ key: KEYS[0]?.p256.publicKey.export({ format: 'jwk' }) })
    : SIGNING_CERTIFICATE
}

function compile(preset: Preset, secrets: number): Source {
  const { name, needs } = preset
  const most = name === 'box' ? 2 : secrets
  const keys =
    needs === 'nothing'
      ? {}
      : needs === 'publicKeys'
        ? { publicKeys: publicKeys(preset).slice(0, most) }
        : { secrets: SECRETS.slice(0, most) }
  return sourceOf({ preset: name, ...keys, ...SETTINGS[name] }, { fetchText: async () => keysOf(name) })
}

/** Bodies of about `bytes` that mean nothing, each hard on another parser. */
function bodies(bytes: number): readonly (readonly [string, Buffer])[] {
  const fill = (text: string) => Buffer.from(text.repeat(Math.ceil(bytes / Buffer.byteLength(text))))
  return [
    ['plain', fill('a')],
    ['é', fill('é')],
    ['slashes', fill('/')],
    ['DEL', fill('\x7f')],
    ['form of escapes', fill('%C3%A9')],
    ['form of blanks', fill('+')],
    ['form of fields', fill('a=b&')],
    ...hostileJson(bytes).map(([shape, json]) => [shape, Buffer.from(json)] as const),
  ]
}

/** JSON texts of about `bytes`, each hard on a parser in another way. */
function hostileJson(bytes: number): readonly (readonly [string, string])[] {
  const levels = Math.max(1, bytes >> 1)
  const names = Math.max(1, Math.floor(bytes / 12))
  const distinct = Array.from({ length: names }, (_, i) => `"k${i}":{`).join('')
  return [
    ['deep JSON', '['.repeat(levels) + ']'.repeat(levels)],
    ['deep JSON of distinct names', `{${distinct}${'}'.repeat(names + 1)}`],
    ['JSON of members', `{${Array.from({ length: names }, (_, i) => `"k${i}":1`).join(',')}}`],
    ['JSON of numbers', `[${Array(levels).fill('1').join(',')}]`],
    ['JSON of quotes', `"${'\\"'.repeat(levels)}"`],
    ['JSON of escapes', `"${'\\u0041'.repeat(Math.ceil(bytes / 6))}"`],
    ['JSON of blanks', `${' '.repeat(bytes)}{}`],
    ['JSON of a text', JSON.stringify('a'.repeat(bytes))],
  ]
}

/** The members of a JSON body that its proof is made of, all of them well formed and wrong. */
const PROOFS: Readonly<Record<string, readonly string[]>> = {
  msgraph: ['"value":[{"clientState":"wrong"}]', `"value":[${'{"clientState":"wrong"},'.repeat(999)}{}]`],
  mailgun: [`"signature":{"timestamp":"${NOW}","token":"t","signature":"${WRONG_HEX}"}`],
  'adyen-payments': [1, 50, 1_000].map(items => {
    const item = {
      pspReference: 'p',
      merchantAccountCode: 'm',
      amount: { value: 1, currency: 'EUR' },
      eventCode: 'AUTHORISATION',
      success: 'true',
      additionalData: { hmacSignature: WRONG_BASE64 },
    }
    return `"notificationItems":${JSON.stringify(Array(items).fill({ NotificationRequestItem: item }))}`
  }),
  sns: ['1', '2'].flatMap(SignatureVersion =>
    // Nobody but SNS can make the second: it was captured, and belongs to another message.
    [STRANGER_RSA, createPrivateKey(SIGNING_KEY)].map(key =>
      JSON.stringify({
        Type: 'Notification',
        MessageId: 'm',
        TopicArn: TOPIC,
        Timestamp: TIME,
        SignatureVersion,
        SigningCertURL: 'https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem',
        Signature: signWith(SignatureVersion === '1' ? 'sha1' : 'sha256', Buffer.from('x'), key).toString(
          'base64',
        ),
      }).slice(1, -1),
    ),
  ),
}

/** Bodies in which a wrong proof stands before or behind something that is hard to read. */
function provenBodies(name: string, bytes: number): readonly (readonly [string, Buffer])[] {
  const field = name === 'sns' ? 'Message' : 'junk'
  const inJson = (PROOFS[name] ?? []).flatMap(proof =>
    hostileJson(bytes).flatMap(([shape, json]) => [
      [`${shape}, behind it a proof`, Buffer.from(`{"${field}":${json},${proof}}`)] as const,
      [`${shape}, before it a proof`, Buffer.from(`{${proof},"${field}":${json}}`)] as const,
    ]),
  )
  const forms: Record<string, string> = {
    braintree: `bt_signature=pub%7C${'a'.repeat(40)}&bt_payload=`,
    mandrill: 'mandrill_events=',
    twilio: 'Body=',
    plivo: 'Text=',
    mailgun: `timestamp=${NOW}&token=t&signature=${WRONG_HEX}&x=`,
  }
  const form = forms[name]
  if (form === undefined) return inJson
  const inForms = bodies(bytes).map(
    ([shape, body]) => [`a form with ${shape}`, Buffer.concat([Buffer.from(form), body])] as const,
  )
  return [...inJson, ...inForms]
}

/** The header of each coded sender, and what surrounds it. */
function codedHeaders(name: string): readonly Record<string, string>[] {
  const token = (claims: object) => sharedToken(claims, 'stranger')
  const longToken = token({
    iss: 'x',
    junk: Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`k${i}`, 1])),
  })
  const head = (alg: string) => Buffer.from(JSON.stringify({ alg, kid: 'k1' })).toString('base64url')
  const publicToken = (alg: string, signature: Buffer) =>
    `${head(alg)}.${Buffer.from(`{"junk":[${'[],'.repeat(2_000)}1]}`).toString('base64url')}.${signature.toString('base64url')}`
  const contentful = ['x-contentful-timestamp', 'x-contentful-signed-headers']
  const listed = [...contentful, ...Array.from({ length: 60 }, (_, i) => `x-listed-${100 + i}`)]
  const every: Readonly<Record<string, readonly Record<string, string>[]>> = {
    twilio: [
      { 'X-Twilio-Signature': WRONG_BASE64, 'Content-Type': FORM },
      {
        'X-Twilio-Signature': WRONG_BASE64,
        'Content-Type': FORM,
        'X-Twilio-Webhooks-Signature-Settings': 'algorithm=HMAC_SHA256',
      },
    ],
    svix: ['svix', 'webhook'].map(family => ({
      [`${family}-id`]: 'id-1',
      [`${family}-timestamp`]: String(NOW),
      [`${family}-signature`]: Array(20).fill(`v1,${WRONG_BASE64}`).join(' '),
    })),
    mandrill: [{ 'X-Mandrill-Signature': WRONG_BASE64, 'Content-Type': FORM }],
    plivo: [
      {
        'X-Plivo-Signature-V3': Array(10).fill(WRONG_BASE64).join(','),
        'X-Plivo-Signature-V3-Nonce': 'n',
        'Content-Type': FORM,
      },
    ],
    braintree: [{ 'Content-Type': FORM }],
    mailgun: [{ 'Content-Type': FORM }, { 'Content-Type': 'application/json' }],
    docusign: [
      Object.fromEntries(
        Array.from({ length: 100 }, (_, i) => [`X-DocuSign-Signature-${i + 1}`, WRONG_BASE64]),
      ),
    ],
    box: [
      {
        'BOX-SIGNATURE-PRIMARY': WRONG_BASE64,
        'BOX-SIGNATURE-SECONDARY': WRONG_BASE64,
        'BOX-SIGNATURE-VERSION': '1',
        'BOX-SIGNATURE-ALGORITHM': 'HmacSHA256',
        'BOX-DELIVERY-TIMESTAMP': TIME,
      },
    ],
    contentful: [contentful, listed].map(names => ({
      'X-Contentful-Signature': WRONG_HEX,
      'X-Contentful-Timestamp': String(NOW_MS),
      'X-Contentful-Signed-Headers': names.join(','),
    })),
    netlify: [{ 'X-Webhook-Signature': token({ iss: 'netlify' }) }, { 'X-Webhook-Signature': longToken }],
    livekit: [{ Authorization: token({ iss: 'API' }) }, { Authorization: longToken }],
    qstash: [{ 'Upstash-Signature': token({ iss: 'Upstash' }) }, { 'Upstash-Signature': longToken }],
    messagebird: [{ 'MessageBird-Signature-JWT': token({}) }, { 'MessageBird-Signature-JWT': longToken }],
    monday: [{ Authorization: token({}) }, { Authorization: longToken }],
    plaid: [
      {
        'Plaid-Verification': publicToken(
          'ES256',
          signWith('sha256', Buffer.from('x'), { key: STRANGER_P256, dsaEncoding: 'ieee-p1363' }),
        ),
      },
    ],
    pubsub: [
      {
        Authorization: `Bearer ${publicToken('RS256', signWith('sha256', Buffer.from('x'), STRANGER_RSA))}`,
      },
    ],
    paypal: [
      {
        'PAYPAL-TRANSMISSION-ID': 't',
        'PAYPAL-TRANSMISSION-TIME': TIME,
        'PAYPAL-CERT-URL': 'https://api.paypal.com/v1/notifications/certs/CERT-1',
        'PAYPAL-AUTH-ALGO': 'SHA256withRSA',
        'PAYPAL-TRANSMISSION-SIG': signWith('sha256', Buffer.from('x'), STRANGER_RSA).toString('base64'),
      },
    ],
  }
  return every[name] ?? [{}]
}

/** A wrong signature as the sender of a row writes it. */
function wrongSignature({ scheme }: Preset): string {
  const { algorithm, encoding = 'hex' } = scheme as NonNullable<Preset['scheme']>
  if (algorithm === 'token') return 'wrong'
  if (algorithm === 'basic') return `Basic ${WRONG_BASE64}`
  const lengths: Partial<Record<typeof algorithm, number>> = {
    'hmac-sha1': 20,
    'hmac-sha384': 48,
    'hmac-sha512': 64,
  }
  const bytes =
    algorithm === 'ed25519'
      ? signWith(null, Buffer.from('x'), STRANGER)
      : algorithm === 'ecdsa-p256-sha256'
        ? signWith('sha256', Buffer.from('x'), STRANGER_P256)
        : Buffer.alloc(lengths[algorithm] ?? 32, 7)
  return bytes.toString(encoding)
}

function rowHeaders(preset: Preset): readonly Record<string, string>[] {
  const { scheme } = preset
  if (scheme === undefined) return []
  const { timestamp, list, signed = '' } = scheme
  const headers: Record<string, string> = {}
  for (const [, name] of signed.matchAll(/\{header:([^}]+)\}/g)) headers[name as string] = 'id-1'
  const unit = timestamp?.unit
  const time = unit === 'ms' ? String(NOW_MS) : unit === 'rfc3339' ? TIME : String(NOW)
  if (timestamp !== undefined && timestamp.at !== 'list' && !timestamp.at.startsWith('$')) {
    headers[timestamp.at] = time
  }
  const wrong = (scheme.prefix ?? '') + wrongSignature(preset)
  if (list === undefined) return [{ ...headers, [scheme.header]: wrong }]
  const element = `${list.label}${list.assign}${wrong}`
  const first = list.timestamp === undefined ? [] : [`${list.timestamp}${list.assign}${time}`]
  return [1, list.fixed === true ? 1 : 20 - first.length].map(count => ({
    ...headers,
    [scheme.header]: [...first, ...Array<string>(count).fill(element)].join(list.separator),
  }))
}

/** Every shape for one preset, with bodies of about `bytes` and sources of so many secrets. */
export function* forgedRequests(preset: Preset, bytes: number, secrets = 2): Generator<ForgedRequest> {
  const source = compile(preset, secrets)
  const rows = preset.code === undefined ? rowHeaders(preset) : []
  const headerSets = [...rows, ...(preset.code === undefined ? [] : codedHeaders(preset.name))]
  const many = Array.from({ length: 900 }, (_, i) => [`x-listed-${100 + (i % 60)}`, 'v']).flat()
  for (const [shape, body] of [...bodies(bytes), ...provenBodies(preset.name, bytes)]) {
    for (const [i, headers] of headerSets.entries()) {
      const raw = Object.entries(headers).flat()
      const of = (name: string, list: string[], url: string): ForgedRequest => ({
        preset: preset.name,
        shape: name,
        source,
        request: { method: 'POST', url, headers: new HeaderList(list), body },
      })
      yield of(`${shape}, headers ${i + 1}`, raw, URL_SIGNED)
      if (shape === 'plain' || shape.includes('plain')) {
        yield of(`${shape}, headers ${i + 1} among many`, [...many, ...raw], URL_SIGNED)
        yield of(`${shape}, headers ${i + 1}, a long URL`, raw, URL_LONG)
      }
    }
  }
}

/** Every preset, the most frequent sender first. */
export const FORGED_PRESETS = listPresets()
