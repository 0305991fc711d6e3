/** A stranger learns from a refusal that there is one, not how the sender proves itself. */
import assert from 'node:assert/strict'
import { rejection } from '@sallyport/ingress/problem'
import { listPresets } from '@sallyport/ingress/schemes/presets'
import { terse } from '@sallyport/ingress/terse'
import { type TestHandler, testHandler } from '../../support/handler.ts'
import { type Answer, send } from '../../support/ingress.ts'
import { settingsOf } from '../../support/preset-settings.ts'
import { hmac, NOW, NOW_MS } from '../../support/signed-request.ts'

const SOURCES = Object.fromEntries(listPresets().map(({ name }) => [name, settingsOf(name)]))
/** Sources whose sender publishes its keys, and a request to each that names one which nobody knows. */
const KEYED = Object.fromEntries(['sns', 'paypal', 'plaid', 'pubsub'].map(name => [name, settingsOf(name)]))
const token = (alg: string) =>
  `${Buffer.from(JSON.stringify({ alg, kid: 'k1' })).toString('base64url')}.e30.eA`
const TIME = new Date(NOW_MS).toISOString()
const NAMING_KEYS: Readonly<Record<string, { headers: Record<string, string>; body: string }>> = {
  sns: {
    headers: {},
    body: JSON.stringify({
      Type: 'Notification',
      TopicArn: 'arn:aws:sns:eu-west-1:1:t',
      Timestamp: TIME,
      SignatureVersion: '2',
      SigningCertURL: 'https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem',
      Signature: 'eA==',
    }),
  },
  paypal: {
    headers: {
      'PAYPAL-TRANSMISSION-ID': 't',
      'PAYPAL-TRANSMISSION-TIME': TIME,
      'PAYPAL-CERT-URL': 'https://api.paypal.com/v1/notifications/certs/CERT-1',
      'PAYPAL-AUTH-ALGO': 'SHA256withRSA',
      'PAYPAL-TRANSMISSION-SIG': 'eA==',
    },
    body: '{}',
  },
  plaid: { headers: { 'Plaid-Verification': token('ES256') }, body: '{}' },
  pubsub: { headers: { Authorization: `Bearer ${token('RS256')}` }, body: '{}' },
}
const STRIPE_SECRET = 'c0ffeec0ffeec0ff'

describe('a refusal', () => {
  let handler: TestHandler
  afterEach(() => handler.close())

  /** What three kinds of forgeries of each preset are answered with. */
  async function answers(headers: Record<string, string> = {}): Promise<[string, Answer][]> {
    const all: [string, Answer][] = []
    for (const { name, scheme } of listPresets()) {
      const proof = scheme === undefined ? {} : { [scheme.header]: 'nonsense' }
      for (const own of [{}, proof, { ...proof, 'X-Hook-Secret': 'short' }]) {
        for (const body of ['{}', 'no JSON']) {
          all.push([name, await send(`${handler.url}/${name}`, { headers: { ...headers, ...own }, body })])
        }
      }
    }
    return all
  }

  const start = (ingress: string, loopback: boolean) => testHandler(SOURCES, { ingress, loopback })

  for (const [setting, loopback, headers] of [
    ['', false, {}],
    ['refusalDetail: terse', true, {}],
    ['', true, { 'X-Forwarded-For': '203.0.113.7' }],
    ['', true, { Via: '1.1 proxy' }],
  ] as const) {
    const where = `${loopback ? 'on loopback' : 'off loopback'}, ${setting === '' ? 'as shipped' : setting}, ${Object.keys(headers).join('') || 'no proxy'}`
    it(`is the same for every preset and forgery: ${where}`, async () => {
      handler = await start(setting === '' ? 'plainHttp: allow' : `plainHttp: allow, ${setting}`, loopback)
      const texts = new Map<number, Set<string>>()
      for (const [, { status, text }] of await answers(headers)) {
        texts.set(status, (texts.get(status) ?? new Set()).add(text))
      }
      for (const [status, different] of texts)
        if (status >= 400) assert.equal(different.size, 1, [...different].join())
      const [text] = texts.get(401) ?? []
      assert.equal(JSON.parse(text ?? '{}').code, 'unverified')
    })
  }

  it('names no sender while its key cannot be fetched: all who would fetch one answer alike', async () => {
    const fetchText = () => Promise.reject(new Error('gone'))
    handler = await testHandler(KEYED, { ingress: 'plainHttp: allow', loopback: false, fetchText })
    const texts = new Set<string>()
    for (const [name, { headers, body }] of Object.entries(NAMING_KEYS)) {
      const answer = await send(`${handler.url}/${name}`, { headers, body })
      assert.equal(answer.status, 503, name)
      assert.equal(answer.headers['retry-after'], '5')
      texts.add(answer.text)
    }
    const [text = '{}'] = texts
    assert.equal(texts.size, 1, [...texts].join())
    assert.equal(JSON.parse(text).code, 'unverified')
    assert.match(handler.lines.join(''), /"code":"key-unavailable","detail":"The SNS certificate/)
  })

  it('names no sender where a proof is genuine but not ours', () => {
    const refusal = rejection(403, 'topic-not-allowed', 'The message is genuine.')
    assert.deepEqual(terse(refusal), {
      ...terse(rejection(401, 'wrong-signature', 'x')),
      status: 403,
      headers: {},
    })
  })

  it('names the reason in the log all the same', async () => {
    handler = await start('plainHttp: allow', false)
    await send(`${handler.url}/github`, { body: '{}' })
    assert.match(
      handler.lines.join(''),
      /"code":"missing-signature","detail":"The header X-Hub-Signature-256 is absent/,
    )
  })

  it('of a genuine delivery that is too old is no other than that of a forged one', async () => {
    handler = await start('plainHttp: allow', false)
    const old = NOW - 3_600
    const signature = hmac('sha256', STRIPE_SECRET, `${old}.{}`)
    const stale = await send(`${handler.url}/stripe`, {
      headers: { 'Stripe-Signature': `t=${old},v1=${signature}` },
      body: '{}',
    })
    const forged = await send(`${handler.url}/stripe`, {
      headers: { 'Stripe-Signature': `t=${NOW},v1=${'0'.repeat(64)}` },
      body: '{}',
    })
    assert.equal(stale.status, 401)
    assert.equal(stale.text, forged.text)
  })

  it('explains itself on loopback, and elsewhere where the operator wants it', async () => {
    for (const [setting, loopback] of [
      ['', true],
      ['plainHttp: allow, refusalDetail: full', false],
    ] as const) {
      handler = await start(setting, loopback)
      const { json } = await send(`${handler.url}/github`, { body: '{}' })
      assert.equal(json.code, 'missing-signature')
      assert.match(String(json.detail), /X-Hub-Signature-256/)
      if (loopback) handler.close()
    }
  })
})
