/** What `sallyport verify` says of a captured request, and how vectors become sources. */
import assert from 'node:assert/strict'
import { parseHeaders, rawRequest } from '../../../services/cli/src/verify/captured.ts'
import { explain } from '../../../services/cli/src/verify/explain.ts'
import { judge as judgeVector } from '../../../services/cli/src/verify/judge.ts'
import { hmac, judge, NOW, NOW_MS, requestOf, sourceOf } from '../../support/signed-request.ts'

describe('the explanation of a verification', () => {
  const source = sourceOf({ preset: 'github', secrets: ['s'] })
  const words = async (headers: Record<string, string>, body: string, nowMs = NOW_MS) => {
    const lines = await explain(
      source,
      requestOf({ headers, body }),
      nowMs,
      await judge(source, { headers, body }, nowMs),
    )
    return lines.join('\n')
  }
  const of = (body: string) => ({ 'X-Hub-Signature-256': `sha256=${hmac('sha256', 's', body)}` })

  it('names the failing step and those that were not reached', async () => {
    const text = await words({ 'X-Hub-Signature-256': hmac('sha256', 's', '{}') }, '{}')
    assert.match(text, /ok {3}the signature is there/)
    assert.match(text, /FAIL the signature is written as this sender writes it/)
    assert.match(text, /- {4}the signature matches the request \(not looked at\)/)
    assert.match(text, /401 malformed-signature/)
  })

  it('says what would have matched', async () => {
    assert.match(await words(of('{"a":1}'), '{"a":1}\n'), /if the last line end of the body were not there/)
    assert.match(await words(of('{"a":1}\n'), '{"a":1}'), /if the body ended with a line feed/)
    assert.match(
      await words(of('{"a":1,"b":"é"}'), '{ "a": 1, "b": "é" }'),
      /if the JSON were written without blanks/,
    )
    assert.match(
      await words(of('{"a": 1, "b": "\\u00e9"}'), '{"a":1,"b":"é"}'),
      /if the JSON were written as Python does/,
    )
    assert.match(await words(of('other'), '{"a":1}'), /compare the secret/)
  })

  it('tells the identity of what is accepted, and why', async () => {
    const text = await words({ ...of('{}'), 'X-GitHub-Delivery': 'd1' }, '{}')
    assert.match(text, /accepted with the current secret; sender’s id d1/)
    assert.match(text, /identity DIGEST: the id header is not signed/)
  })

  it('never shows a secret or an expected signature', async () => {
    const text = await words(of('other'), '{}')
    assert(!text.includes(hmac('sha256', 's', '{}')))
  })
})

describe('captured requests', () => {
  it('headers are read as tools print them, and trimmed as HTTP does', () => {
    const headers = parseHeaders('POST / HTTP/1.1\r\n> X-One:  1 \r\nx-two: a: b\n\nnot a header')
    assert.deepEqual(headers, [
      ['X-One', '  1 '],
      ['x-two', ' a: b'],
    ])
    const request = rawRequest({ method: 'POST', url: 'https://h/', headers, body: Buffer.alloc(0) })
    assert.equal(request.headers.get('x-one'), '1')
    assert.equal(request.headers.get('x-two'), 'a: b')
  })
})

describe('vectors', () => {
  const vector = {
    id: 'v',
    kind: 'handshake',
    now: NOW,
    method: 'POST',
    url: 'https://hooks.example.com/in',
    headers: [],
    body_base64: '',
  } as const

  it('a line holds what its format has and nothing else', async () => {
    const body = '{"id":"1","type":"done"}'
    const headers = [['X-Webhook-Signature', hmac('sha256', 's', body)]] as const
    const delivery = {
      ...vector,
      kind: 'delivery' as const,
      provider: 'generic',
      config: { secrets: ['s'] },
      headers,
      body_base64: Buffer.from(body).toString('base64'),
    }
    assert.deepEqual(await judgeVector(delivery), {
      id: 'v',
      verdict: 'accept',
      code: 'verified',
      event: { id: null, type: null },
    })
    const refused = await judgeVector({ ...delivery, body_base64: '' })
    assert.deepEqual(refused, { id: 'v', verdict: 'reject', code: 'wrong-signature' })
    const url = 'https://hooks.example.com/in?challenge=abc'
    const asked = await judgeVector({
      ...vector,
      provider: 'dropbox',
      config: { secrets: ['s'] },
      method: 'GET',
      url,
    })
    assert.deepEqual(Object.keys(asked), ['id', 'verdict', 'code', 'response'])
    assert.deepEqual(Object.keys(asked.response ?? {}), ['status', 'headers', 'body'])
  })

  it('a handshake that is refused tells the status, a delivery does not', async () => {
    const forged = await judgeVector({ ...vector, provider: 'slack', config: { secrets: ['s'] } })
    assert.deepEqual(forged.response, { status: 401, body: '', headers: {} })
    const delivery = await judgeVector({
      ...vector,
      kind: 'delivery',
      provider: 'slack',
      config: { secrets: ['s'] },
    })
    assert.equal(delivery.response, undefined)
  })

  it('a sender that offers its secret is waited for where no secret is configured', async () => {
    const headers = [['X-Hook-Secret', 'offered-secret']] as const
    const first = await judgeVector({ ...vector, provider: 'asana', headers })
    assert.deepEqual(
      [first.verdict, first.response?.headers],
      ['accept', { 'x-hook-secret': 'offered-secret' }],
    )
    const again = await judgeVector({
      ...vector,
      provider: 'asana',
      headers,
      config: { secrets: ['stored'] },
    })
    assert.equal(again.verdict, 'reject')
  })
})
