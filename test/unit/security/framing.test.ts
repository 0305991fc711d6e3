/** What two servers could read as different requests, and what reaches a source by another way than its path. */
import assert from 'node:assert/strict'
import { pathOf, sourceOf } from '@sallyport/ingress/route'
import { type TestHandler, testHandler } from '../../support/handler.ts'
import { speak } from '../../support/ingress.ts'
import { sourceOf as compile, hmac, judge, NOW_MS } from '../../support/signed-request.ts'

const BODY = '{"n":1}'
const SIGNATURE = `X-Webhook-Signature: ${hmac('sha256', 's', BODY)}`

describe('a request', () => {
  let handler: TestHandler
  beforeEach(async () => {
    handler = await testHandler({ crm: { preset: 'generic', secrets: ['s'] } })
  })
  afterEach(() => handler.close())

  const say = (head: readonly string[], body = BODY): Promise<string> =>
    speak(handler.url, `${head.join('\r\n')}\r\n${SIGNATURE}\r\nConnection: close\r\n\r\n${body}`)
  const LENGTH = `Content-Length: ${BODY.length}`

  it('reaches a source by its own path alone, in a relative and in an absolute target', async () => {
    assert.match(await say(['POST http://x/webhooks/crm HTTP/1.1', 'Host: x', LENGTH]), /^HTTP\/1\.1 200 /)
    for (const target of [
      'http://x/private/../webhooks/crm',
      'http://x/./webhooks/crm',
      'http://x\\webhooks\\crm',
      'http://x//webhooks/crm',
      'http://x/%2e%2e/webhooks/crm',
      'http://x/webhooks/x/../crm',
      'http://x/webhooks/crm/.',
      'ftp://x/webhooks/crm',
      'x:/webhooks/crm',
      '/private/../webhooks/crm',
    ]) {
      const said = await say([`POST ${target} HTTP/1.1`, 'Host: x', LENGTH])
      assert.match(said, /^HTTP\/1\.1 (404|400) /, target)
    }
    assert.equal(handler.keys.length, 1)
  })

  it('has a path that is a part of its target, never normalised', () => {
    for (const path of [
      '/webhooks/crm',
      '/a/../webhooks/crm',
      '/webhooks/%63rm',
      '//webhooks/crm',
      '/a\\b',
    ]) {
      for (const authority of ['', 'http://x', 'https://x:8443', 'HTTP://X', 'http://me@x']) {
        assert.equal(pathOf(`${authority}${path}?q=http://y/webhooks/crm`), path)
      }
    }
    assert.equal(sourceOf(pathOf('/a/../webhooks/crm')), undefined)
    assert.equal(pathOf('http://x?/webhooks/crm'), '')
  })

  it('with two Host headers is refused, equal or not, and loses its connection', async () => {
    for (const second of ['Host: x', 'host: y', 'HOST: x']) {
      for (const target of ['/webhooks/crm', '/health/live', '/nowhere']) {
        const said = await say([`POST ${target} HTTP/1.1`, 'Host: x', second, LENGTH])
        assert.match(said, /^HTTP\/1\.1 400 [\s\S]*malformed-request/, target)
        assert.match(said, /Connection: close/i)
      }
    }
    assert.deepEqual(handler.keys, [])
  })

  it('has no more header lines than ingress.headerLinesMax: none is dropped that a proxy may have read', async () => {
    const lines = (count: number): readonly string[] => Array(count).fill('X:')
    const post = ['POST /webhooks/crm HTTP/1.1', 'Host: x']
    // The signature and Connection make it a hundred.
    assert.match(await say([...post, LENGTH, ...lines(96)]), /^HTTP\/1\.1 200 /)
    for (const count of [97, 98, 99, 500, 900, 2_000, 5_000]) {
      for (const target of ['/webhooks/crm', '/health/live', '/nowhere']) {
        const head = [`POST ${target} HTTP/1.1`, 'Host: x', ...lines(count), LENGTH]
        const said = await say(head)
        assert.match(said, /^HTTP\/1\.1 431 [\s\S]*headers-too-large/, `${count} ${target}`)
        assert.match(said, /Connection: close/i)
      }
    }
    assert.equal(handler.keys.length, 1)
  })

  it('has no other transfer coding than chunked, once, and none in HTTP/1.0', async () => {
    const chunked = `${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`
    const fine = await say(['POST /webhooks/crm HTTP/1.1', 'Host: x', 'Transfer-Encoding: chunked'], chunked)
    assert.match(fine, /^HTTP\/1\.1 200 /)
    for (const codings of [
      ['gzip, chunked'],
      ['identity, chunked'],
      ['chunked, chunked'],
      ['gzip', 'chunked'],
      ['chunked', 'chunked'],
      ['xchunked, chunked'],
      [', chunked'],
    ]) {
      const lines = codings.map(coding => `Transfer-Encoding: ${coding}`)
      const said = await say(['POST /webhooks/crm HTTP/1.1', 'Host: x', ...lines], chunked)
      assert.match(said, /^HTTP\/1\.1 400 /, codings.join())
    }
    const old = await say(['POST /webhooks/crm HTTP/1.0', 'Host: x', 'Transfer-Encoding: chunked'], chunked)
    assert.match(old, /^HTTP\/1\.1 400 /)
    assert.equal(handler.keys.length, 1)
  })

  it('of HTTP/1.0 gets no "100 Continue", which it does not know', async () => {
    const said = await say(['POST /webhooks/crm HTTP/1.0', 'Expect: 100-continue', LENGTH])
    assert.match(said, /^HTTP\/1\.1 200 /)
    assert.doesNotMatch(said, /100 Continue/)
  })
})

describe('a refusal', () => {
  it('holds no header name that a stranger listed as signed (Contentful)', async () => {
    const source = compile({ preset: 'contentful', secrets: ['s'] })
    const name = 'x-made-by-a-stranger'
    const listed = `${name},x-contentful-timestamp,x-contentful-signed-headers`
    const verification = await judge(source, {
      headers: [
        ['X-Contentful-Signature', '0'.repeat(64)],
        ['X-Contentful-Timestamp', String(NOW_MS)],
        ['X-Contentful-Signed-Headers', listed],
        [name, '1'],
        [name, '2'],
      ],
    })
    assert(verification.kind === 'rejected')
    assert.equal(verification.code, 'duplicate-header')
    assert.equal(verification.detail.includes(name), false)
  })
})
