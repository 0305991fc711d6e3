/** A stranger learns from a refusal that there is one, not how the sender proves itself. */
import assert from 'node:assert/strict'
import { listPresets } from '@sallyport/ingress/schemes/presets'
import { type TestHandler, testHandler } from '../../support/handler.ts'
import { type Answer, send } from '../../support/ingress.ts'
import { settingsOf } from '../../support/preset-settings.ts'
import { hmac, NOW } from '../../support/signed-request.ts'

const SOURCES = Object.fromEntries(listPresets().map(({ name }) => [name, settingsOf(name)]))
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
