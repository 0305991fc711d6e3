/** Senders with code of their own that sign with a shared secret: what each binds, and what each must refuse. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  codeOf,
  hmac,
  judge,
  NOW,
  NOW_MS,
  requestOf,
  sharedToken,
  sourceOf,
} from '../support/signed-request.ts'

const FORM = 'application/x-www-form-urlencoded'
const sha256 = (text: string, encoding: 'hex' | 'base64' | 'base64url') =>
  createHash('sha256').update(text).digest(encoding)

describe('Box', () => {
  const source = sourceOf({ preset: 'box', secrets: ['primary', 'secondary'] })
  const time = '2026-12-31T16:00:00-08:00'
  const body = '{"id":"b1","trigger":"FILE.UPLOADED"}'
  const sign = (key: string, text = body) => hmac('sha256', key, text + time, 'base64')

  const at = {
    'BOX-SIGNATURE-VERSION': '1',
    'BOX-SIGNATURE-ALGORITHM': 'HmacSHA256',
    'BOX-DELIVERY-TIMESTAMP': time,
    'BOX-DELIVERY-ID': 'changes',
  }

  it('takes each header with its own key only', async () => {
    const primary = await judge(source, {
      headers: { ...at, 'BOX-SIGNATURE-PRIMARY': sign('primary') },
      body,
    })
    assert(primary.kind === 'verified')
    assert.equal(primary.delivery.verdict.senderId, 'b1')
    const secondary = await judge(source, {
      headers: { ...at, 'BOX-SIGNATURE-SECONDARY': sign('secondary') },
      body,
    })
    assert(secondary.kind === 'verified')
    assert.equal(secondary.delivery.verdict.secretIndex, 1)
    const crossed = await judge(source, {
      headers: { ...at, 'BOX-SIGNATURE-PRIMARY': sign('secondary') },
      body,
    })
    assert.equal(codeOf(crossed), 'wrong-signature')
  })

  it('wants the version and algorithm to be named, as Box’s own library does', async () => {
    const headers = { ...at, 'BOX-SIGNATURE-PRIMARY': sign('primary') }
    const { 'BOX-SIGNATURE-VERSION': _, ...unversioned } = headers
    assert.equal(codeOf(await judge(source, { headers: unversioned, body })), 'unknown-signature-version')
    const { 'BOX-SIGNATURE-ALGORITHM': __, ...unnamed } = headers
    assert.equal(codeOf(await judge(source, { headers: unnamed, body })), 'wrong-algorithm')
  })

  it('takes a body that was escaped as PHP does before it was signed, and nothing from the future', async () => {
    const wide = '{"id":"b1","name":"é😀","url":"https://a\\/b"}'
    const escaped = '{"id":"b1","name":"\\u00e9\\ud83d\\ude00","url":"https:\\/\\/a\\/b"}'
    const headers = { ...at, 'BOX-SIGNATURE-PRIMARY': sign('primary', escaped) }
    assert.equal(codeOf(await judge(source, { headers, body: wide })), 'verified')
    assert.equal(codeOf(await judge(source, { headers, body: wide }, NOW_MS - 1000)), 'future-timestamp')
    assert.equal(codeOf(await judge(source, { headers, body: wide }, NOW_MS + 601_000)), 'stale-timestamp')
  })
})

describe('DocuSign', () => {
  const source = sourceOf({ preset: 'docusign', secrets: ['new', 'old'] })
  const body = '{"event":"envelope-completed","retryCount":0}'

  it('takes any numbered header of a key that it holds, and refuses one number twice', async () => {
    const headers = {
      'X-DocuSign-Signature-1': 'x',
      'X-DocuSign-Signature-37': hmac('sha256', 'old', body, 'base64'),
    }
    const verification = await judge(source, { headers, body })
    assert(verification.kind === 'verified')
    assert.equal(verification.delivery.verdict.secretIndex, 1)
    const twice = [...Object.entries(headers), ['x-docusign-signature-1', 'y'] as const]
    assert.equal(codeOf(await judge(source, { headers: twice, body })), 'duplicate-signature')
    const named = { 'X-DocuSign-Signature-x': hmac('sha256', 'old', body, 'base64') }
    assert.equal(codeOf(await judge(source, { headers: named, body })), 'missing-signature')
  })

  it('gives a retry, whose retryCount differs, the same digest', async () => {
    const parts = await Promise.all(
      [body, body.replace('0}', '12}')].map(async text => {
        const headers = { 'X-DocuSign-Signature-1': hmac('sha256', 'new', text, 'base64') }
        const verification = await judge(source, { headers, body: text })
        return verification.kind === 'verified' ? verification.delivery.verdict.signedParts : undefined
      }),
    )
    assert.deepEqual(parts[0], parts[1])
  })
})

describe('Mailgun', () => {
  const source = sourceOf({ preset: 'mailgun', secrets: ['key'] })
  const bodyOf = (timestamp: string, token: string, event = 'opened', signed = timestamp + token) =>
    JSON.stringify({
      signature: { timestamp, token, signature: hmac('sha256', 'key', signed) },
      'event-data': { id: 'm1', event },
    })

  it('is accepted with id and type; other event data under the same token are the same event', async () => {
    const [one, two] = [
      await judge(source, { body: bodyOf(String(NOW), 'tok') }),
      await judge(source, { body: bodyOf(String(NOW), 'tok', 'clicked') }),
    ]
    assert(one.kind === 'verified' && two.kind === 'verified')
    assert.equal(one.delivery.verdict.senderId, 'm1')
    assert.equal(one.delivery.verdict.type, 'opened')
    assert.deepEqual(one.delivery.verdict.signedParts, two.delivery.verdict.signedParts)
  })

  it('does not let digits wander between time and token', async () => {
    const signed = `${NOW}0abc`
    assert.equal(
      codeOf(await judge(source, { body: bodyOf(`${NOW}0`, 'abc', 'x', signed) })),
      'malformed-timestamp',
    )
    assert.equal(
      codeOf(await judge(source, { body: bodyOf(String(NOW).slice(0, 9), '00abc', 'x', signed) })),
      'malformed-timestamp',
    )
  })

  it('reads legacy forms, whose last value is Mailgun’s own', async () => {
    const body = `timestamp=1&token=x&event=opened&timestamp=${NOW}&token=tok&signature=${hmac('sha256', 'key', `${NOW}tok`)}`
    assert.equal(codeOf(await judge(source, { headers: { 'Content-Type': FORM }, body })), 'verified')
  })
})

describe('Mandrill', () => {
  const url = 'https://user:pass@hooks.example.com/mandrill'
  const source = sourceOf({ preset: 'mandrill', secrets: ['key'], url })
  const post = (events: string, key: string) => ({
    headers: {
      'Content-Type': FORM,
      'X-Mandrill-Signature': hmac('sha1', key, `${url}mandrill_events${events}`, 'base64'),
    },
    body: `mandrill_events=${encodeURIComponent(events)}`,
  })

  it('signs the registered URL and the fields', async () => {
    const verification = await judge(source, post('[{"event":"send","_id":"x1"}]', 'key'))
    assert(verification.kind === 'verified')
    assert.equal(verification.delivery.verdict.senderId, 'x1')
    assert.equal(verification.delivery.verdict.type, 'send')
  })

  it('answers the creation test, and takes no event under the key that everybody knows', async () => {
    assert.equal(codeOf(await judge(source, { method: 'HEAD' })), 'head-probe')
    assert.equal(codeOf(await judge(source, post('[]', 'test-webhook'))), 'mandrill-test')
    assert.equal(codeOf(await judge(source, post('[{"event":"send"}]', 'test-webhook'))), 'wrong-signature')
  })
})

describe('Plivo', () => {
  const source = sourceOf({ preset: 'plivo', secrets: ['token'] })
  const url = 'https://hooks.example.com/plivo?b=2&a=1'
  const signature = hmac(
    'sha256',
    'token',
    'https://hooks.example.com/plivo?a=1&b=2.From1To2.nonce',
    'base64',
  )
  const headers = {
    'Content-Type': FORM,
    'X-Plivo-Signature-V3': `bad,${signature}`,
    'X-Plivo-Signature-V3-Nonce': 'nonce',
  }

  it('sorts query and fields, and takes either of the listed signatures', async () => {
    assert.equal(codeOf(await judge(source, { url, headers, body: 'To=2&From=1' })), 'verified')
    assert.equal(codeOf(await judge(source, { url, headers, body: 'To=2&From=2' })), 'wrong-signature')
  })

  it('refuses a body that is no form, since nothing would bind it', async () => {
    const json = { ...headers, 'Content-Type': 'application/json' }
    assert.equal(codeOf(await judge(source, { url, headers: json, body: '{"From":"1"}' })), 'body-not-bound')
  })
})

describe('Braintree', () => {
  const source = sourceOf({ preset: 'braintree', publicKey: 'pub', secrets: ['private'] })
  const key = createHash('sha1').update('private').digest()
  const post = (payload: string, signature = hmac('sha1', key, payload)) => ({
    body: new URLSearchParams({ bt_signature: `other|00&pub|${signature}`, bt_payload: payload }).toString(),
  })

  it('takes the pair of its own public key, and reads the kind', async () => {
    const payload = `${Buffer.from('<notification><kind>subscription_canceled</kind></notification>').toString('base64')}\n`
    const verification = await judge(source, post(payload))
    assert(verification.kind === 'verified')
    assert.equal(verification.delivery.verdict.type, 'subscription_canceled')
    assert.equal(verification.delivery.verdict.senderId, null)
    assert.equal(codeOf(await judge(source, post(payload, '0'.repeat(40)))), 'wrong-signature')
  })

  it('H1: its answer to a challenge is no signature of a delivery', async () => {
    const challenge = '20f9f8ed05f77439fe955c977e4c8a53'
    const answer = await judge(source, {
      method: 'GET',
      url: `https://hooks.example.com/?bt_challenge=${challenge}`,
    })
    assert(answer.kind === 'challenge')
    assert.equal(answer.response.body, `pub|${hmac('sha1', key, challenge)}`)
    assert.equal(codeOf(await judge(source, post(challenge))), 'malformed-body')
    const other = await judge(source, {
      method: 'GET',
      url: 'https://hooks.example.com/?bt_challenge=PGtpbmQ%2B',
    })
    assert.equal(codeOf(other), 'challenge-refused')
  })
})

describe('Contentful', () => {
  const secret = 'a'.repeat(64)
  const source = sourceOf({ preset: 'contentful', secrets: [secret] })
  const names = 'x-contentful-signed-headers,x-contentful-timestamp,x-contentful-topic'
  const text = `POST\n/in?a%253D1\nx-contentful-signed-headers:${names};x-contentful-timestamp:${NOW_MS};x-contentful-topic:Entry.publish\n{}`
  const headers = {
    'X-Contentful-Topic': 'Entry.publish',
    'X-Contentful-Timestamp': String(NOW_MS),
    'X-Contentful-Signed-Headers': names,
    'X-Contentful-Signature': hmac('sha256', secret, text),
  }
  const parts = { url: 'https://hooks.example.com/in?a=1', headers, body: '{}' }

  it('binds method, path, listed headers and body, for less than 30 seconds', async () => {
    assert.equal(codeOf(await judge(source, parts)), 'verified')
    assert.equal(codeOf(await judge(source, { ...parts, method: 'PUT' })), 'wrong-signature')
    assert.equal(
      codeOf(
        await judge(source, { ...parts, headers: { ...headers, 'X-Contentful-Topic': 'Entry.delete' } }),
      ),
      'wrong-signature',
    )
    assert.equal(codeOf(await judge(source, parts, NOW_MS + 30_000)), 'stale-timestamp')
  })

  it('refuses a list that leaves out the time', async () => {
    const unlisted = { ...headers, 'X-Contentful-Signed-Headers': 'x-contentful-topic' }
    assert.equal(codeOf(await judge(source, { ...parts, headers: unlisted })), 'malformed-signature')
  })
})

describe('senders with a shared-secret token', () => {
  const body = '{"id":"EV_1","event":"room_started"}'
  const url = 'https://hooks.example.com/in?a=1'
  const cases = [
    {
      settings: { preset: 'livekit', apiKey: 'API', secrets: ['s'] },
      header: 'Authorization',
      claims: { iss: 'API', exp: NOW + 60, nbf: NOW, sha256: sha256(body, 'base64') },
      foreign: { iss: 'other' },
    },
    {
      settings: { preset: 'qstash', secrets: ['next', 's'] },
      header: 'Upstash-Signature',
      claims: { iss: 'Upstash', sub: url, exp: NOW + 60, nbf: NOW, body: `${sha256(body, 'base64url')}=` },
      foreign: { sub: 'https://other.example.com/' },
    },
    {
      settings: { preset: 'messagebird', secrets: ['s'] },
      header: 'MessageBird-Signature-JWT',
      claims: {
        iss: 'MessageBird',
        jti: 'j',
        exp: NOW + 60,
        nbf: NOW,
        url_hash: sha256(url, 'hex'),
        payload_hash: sha256(body, 'hex'),
      },
      foreign: { url_hash: sha256('https://other.example.com/', 'hex') },
    },
    {
      settings: { preset: 'netlify', secrets: ['s'] },
      header: 'X-Webhook-Signature',
      claims: { iss: 'netlify', sha256: sha256(body, 'hex') },
      foreign: { iss: 'other' },
    },
  ]
  for (const { settings, header, claims, foreign } of cases) {
    it(`${settings.preset}: binds the body and the sender, and lapses where it has an expiry`, async () => {
      const source = sourceOf(settings)
      const send = (given: object, text = body, now = NOW_MS) =>
        judge(source, { url, headers: { [header]: sharedToken(given, 's') }, body: text }, now)
      assert.equal(codeOf(await send(claims)), 'verified')
      assert.equal(codeOf(await send(claims, `${body} `)), 'body-not-bound')
      assert.equal(codeOf(await send({ ...claims, ...foreign })), 'wrong-claim')
      if ('exp' in claims) {
        assert.equal(codeOf(await send(claims, body, NOW_MS + 71_000)), 'stale-timestamp')
        assert.equal(codeOf(await send({ ...claims, nbf: NOW + 60 })), 'future-timestamp')
        const { exp: _, ...eternal } = claims
        assert.equal(codeOf(await send(eternal)), 'missing-timestamp')
      }
    })
  }

  it('the last character of a token has one form only', async () => {
    const source = sourceOf({ preset: 'netlify', secrets: ['s'] })
    const token = sharedToken({ iss: 'netlify', sha256: sha256(body, 'hex') }, 's')
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const last = alphabet.indexOf(token.at(-1) ?? '')
    for (let bits = 1; bits < 4; bits++) {
      const twin = token.slice(0, -1) + alphabet[(last & ~3) | ((last + bits) & 3)]
      assert.equal(
        codeOf(await judge(source, { headers: { 'X-Webhook-Signature': twin }, body })),
        'wrong-signature',
      )
    }
    assert.equal(requestOf({ body }).body.toString(), body)
  })
})

describe('Salesforce outbound messages', () => {
  const source = sourceOf({
    preset: 'salesforce-outbound',
    secrets: ['tok'],
    organizationIds: ['00D000000000001AAA'],
  })
  const body =
    '<soapenv:Envelope><soapenv:Body><notifications><OrganizationId>00D000000000001AAA</OrganizationId><Notification><Id>04l000000000001AAA</Id><sObject xsi:type="sf:Case" xmlns:sf="urn"></sObject></Notification></notifications></soapenv:Body></soapenv:Envelope>'

  it('wants the token in the address and a known organisation, and is answered with an Ack', async () => {
    const verification = await judge(source, { url: 'https://h.example.com/in?token=tok', body })
    assert(verification.kind === 'verified')
    assert.equal(verification.delivery.verdict.type, 'Case')
    assert.equal(verification.delivery.verdict.senderId, '04l000000000001AAA')
    assert.match(source.success?.body ?? '', /<Ack>true<\/Ack>/)
    assert.equal(codeOf(await judge(source, { url: 'https://h.example.com/in', body })), 'missing-signature')
    const foreign = { url: 'https://h.example.com/in?token=tok', body: body.replace('0001AAA<', '0002AAA<') }
    assert.equal(codeOf(await judge(source, foreign)), 'wrong-claim')
  })
})
