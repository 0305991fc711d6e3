/** Deliveries that the senders' own libraries signed, and vectors of the RFCs beneath them. */
import assert from 'node:assert/strict'
import { Webhook } from 'standardwebhooks'
import Stripe from 'stripe'
import { codeOf, judge, NOW, NOW_MS, sharedToken, sourceOf } from '../support/signed-request.ts'

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const BODY = '{"id":"evt_1","type":"thing.done","name":"Zoë 🎉","big":12345678901234567890}'

describe('deliveries signed by the senders’ own libraries', () => {
  for (const preset of ['standard-webhooks', 'openai', 'anthropic', 'gitlab-signing', 'replicate']) {
    it(`${preset}: what the library of Standard Webhooks signs is accepted, and its id is the identity`, async () => {
      const source = sourceOf({ preset, secrets: [SECRET] })
      const signature = new Webhook(SECRET).sign('msg_1', new Date(NOW_MS), BODY)
      const headers = {
        'webhook-id': 'msg_1',
        'webhook-timestamp': String(NOW),
        'webhook-signature': signature,
      }
      const verification = await judge(source, { headers, body: BODY })
      assert.equal(codeOf(verification), 'verified')
      assert(verification.kind === 'verified')
      assert.equal(verification.delivery.verdict.senderId, 'msg_1')
      assert.equal(verification.delivery.verdict.identity, 'SENDER_ID')
      const replay = await judge(source, { headers: { ...headers, 'webhook-id': 'msg_2' }, body: BODY })
      assert.equal(codeOf(replay), 'wrong-signature')
    })
  }

  it('svix: either family of names is taken, its own decide, and the id is the proven family’s', async () => {
    const source = sourceOf({ preset: 'svix', secrets: [SECRET] })
    const signature = new Webhook(SECRET).sign('msg_1', new Date(NOW_MS), BODY)
    const family = (name: string, id: string, value = signature) => ({
      [`${name}-id`]: id,
      [`${name}-timestamp`]: String(NOW),
      [`${name}-signature`]: value,
    })
    const judged = (headers: Record<string, string>) => judge(source, { headers, body: BODY })
    for (const headers of [
      family('svix', 'msg_1'),
      family('webhook', 'msg_1'),
      { ...family('webhook', 'msg_1'), 'svix-id': 'fresh' },
      { ...family('webhook', 'fresh'), ...family('svix', 'msg_1') },
    ]) {
      const verification = await judged(headers)
      assert(verification.kind === 'verified')
      assert.equal(verification.delivery.verdict.senderId, 'msg_1')
    }
    const foreign = { ...family('webhook', 'msg_1'), ...family('svix', 'msg_1', `v1,${'A'.repeat(43)}=`) }
    assert.equal(codeOf(await judged(foreign)), 'wrong-signature')
  })

  it('bigcommerce and polar: the secret’s text is the key', async () => {
    for (const preset of ['bigcommerce', 'polar']) {
      const key = Buffer.from('client-secret').toString('base64')
      const signature = new Webhook(key).sign('msg_1', new Date(NOW_MS), BODY)
      const headers = {
        'webhook-id': 'msg_1',
        'webhook-timestamp': String(NOW),
        'webhook-signature': signature,
      }
      const source = sourceOf({ preset, secrets: ['client-secret'] })
      assert.equal(codeOf(await judge(source, { headers, body: BODY })), 'verified', preset)
    }
  })

  it('stripe: the library’s test header is accepted, with either secret while one is rolled', async () => {
    const header = Stripe.webhooks.generateTestHeaderString({
      payload: BODY,
      secret: 'whsec_old',
      timestamp: NOW,
    })
    const source = sourceOf({ preset: 'stripe', secrets: ['whsec_new', 'whsec_old'] })
    const verification = await judge(source, { headers: { 'Stripe-Signature': header }, body: BODY })
    assert(verification.kind === 'verified')
    assert.equal(verification.delivery.verdict.secretIndex, 1)
    assert.equal(verification.delivery.verdict.senderId, 'evt_1')
    assert.equal(verification.delivery.verdict.sentAt, NOW_MS)
  })
})

describe('vectors of the RFCs', () => {
  it('RFC 4231, cases 2 and 6: HMAC-SHA256, SHA-384 and SHA-512 of a row', async () => {
    const cases = [
      {
        secret: Buffer.from('Jefe').toString('hex'),
        body: 'what do ya want for nothing?',
        'hmac-sha256': '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
        'hmac-sha384':
          'af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649',
        'hmac-sha512':
          '164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737',
      },
      {
        secret: 'aa'.repeat(131),
        body: 'Test Using Larger Than Block-Size Key - Hash Key First',
        'hmac-sha256': '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
        'hmac-sha384':
          '4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952',
        'hmac-sha512':
          '80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598',
      },
    ]
    for (const { secret, body, ...signatures } of cases) {
      for (const [algorithm, signature] of Object.entries(signatures)) {
        const scheme = {
          header: 'X-Sig',
          algorithm: algorithm as 'hmac-sha256',
          secretEncoding: 'hex' as const,
        }
        const source = sourceOf({ scheme, secrets: [secret] })
        assert.equal(
          codeOf(await judge(source, { headers: { 'X-Sig': signature }, body })),
          'verified',
          algorithm,
        )
      }
    }
  })

  it('RFC 8032, test 3 (ed25519): two bytes of body', async () => {
    const source = sourceOf({
      scheme: { header: 'X-Sig', algorithm: 'ed25519', publicKey: { form: 'hex' } },
      publicKeys: ['fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025'],
    })
    const signature =
      '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a'
    assert.equal(
      codeOf(await judge(source, { headers: { 'X-Sig': signature }, body: Buffer.from('af82', 'hex') })),
      'verified',
    )
    assert.equal(
      codeOf(await judge(source, { headers: { 'X-Sig': signature }, body: Buffer.from('af83', 'hex') })),
      'wrong-signature',
    )
  })

  it('RFC 7617: user and password of basic authentication', async () => {
    const source = sourceOf({
      scheme: { header: 'Authorization', algorithm: 'basic' },
      username: 'Aladdin',
      secrets: ['open sesame'],
    })
    assert.equal(
      codeOf(await judge(source, { headers: { Authorization: 'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==' } })),
      'verified',
    )
    assert.equal(
      codeOf(await judge(source, { headers: { Authorization: 'basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==' } })),
      'verified',
    )
    assert.equal(
      codeOf(await judge(source, { headers: { Authorization: 'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=' } })),
      'wrong-token',
    )
  })

  it('RFC 7519, 6.1: a token without a signature is refused', async () => {
    const source = sourceOf({ preset: 'netlify', secrets: ['secret'] })
    const token =
      'eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.'
    assert.equal(
      codeOf(await judge(source, { headers: { 'X-Webhook-Signature': token } })),
      'wrong-algorithm',
    )
    const critical = sharedToken({ iss: 'netlify' }, 'secret', 'HS256', { crit: ['exp'] })
    assert.equal(
      codeOf(await judge(source, { headers: { 'X-Webhook-Signature': critical } })),
      'malformed-token',
    )
  })
})
