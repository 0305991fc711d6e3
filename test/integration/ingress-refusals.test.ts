import assert from 'node:assert/strict'
import { createHmac, randomBytes } from 'node:crypto'
import type { Connection } from '@sallyport/core/connection'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import { Topics } from '../support/events.ts'
import {
  type Answer,
  CRM,
  keptLog,
  SECRET,
  send,
  signed,
  speak,
  type TestIngress,
  testIngress,
  ticket,
} from '../support/ingress.ts'
import { PARTITIONS } from '../support/processor.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

/** Checks that an answer is a problem document of RFC 9457 with this status and code, and gives its detail. */
function refused(answer: Answer, status: number, code: string): string {
  assert.equal(answer.status, status, answer.text)
  assert.equal(answer.headers['content-type'], 'application/problem+json')
  assert.deepEqual(Object.keys(answer.json).sort(), ['code', 'detail', 'status', 'title', 'type'])
  assert.equal(answer.json.status, status)
  assert.equal(answer.json.code, code)
  assert.equal(answer.json.type, `urn:sallyport:problem:${code}`)
  return String(answer.json.detail)
}

describe('deliveries that are refused', function () {
  this.timeout(60_000)
  let connection: Connection
  let topics: Topics
  let ingress: TestIngress
  let url: string
  const { log, lines } = keptLog()

  before(async () => {
    connection = await sharedCluster()
    topics = new Topics(connection, PARTITIONS)
    ingress = await testIngress(connection, CRM, { log })
    await ingress.ready
    url = `${ingress.url}/webhooks/${ingress.source}`
  })
  after(async () => {
    await ingress.stop()
    await topics.close()
  })
  // Whatever was refused must not be in the topic: one genuine delivery marks the end of what there is to read.
  afterEach(async () => {
    const body = ticket({ status: 'end' })
    const { json } = await send(url, { body, headers: signed(body) })
    const records = await topics.read(
      EVENTS_TOPIC,
      record =>
        record.headers.ce_source === ingress.source &&
        (record.headers.ce_type !== 'end' || record.key === json.id),
      1,
    )
    assert.deepEqual(
      records.map(({ key }) => key),
      [json.id],
    )
  })

  it('a genuine body that lacks a field gets 400, also when it lacks the signed time as well', async () => {
    for (const fields of [{ status: 'open' }, { agent_id: 'a' }, { agent_id: '', status: 'open' }, {}]) {
      const body = JSON.stringify(fields)
      refused(await send(url, { body, headers: signed(body) }), 400, 'missing-field')
    }
    const body = JSON.stringify({ agent_id: 'a', status: 'open' })
    refused(await send(url, { body, headers: signed(body) }), 401, 'missing-timestamp')
  })

  it('a delivery without a signature gets 401', async () => {
    refused(await send(url, { body: ticket() }), 401, 'missing-signature')
    refused(
      await send(url, { body: ticket(), headers: { 'X-Webhook-Signature': '' } }),
      401,
      'missing-signature',
    )
  })

  it('a garbled or truncated signature gets 401', async () => {
    const body = ticket()
    const right = signed(body)['X-Webhook-Signature'] as string
    const wrong = [
      right.slice(0, -1),
      right.slice(0, 32),
      `${right}0`,
      'zz'.repeat(32),
      `sha256=${right}`,
      '\u00e9',
    ]
    for (const signature of wrong) {
      const answer = await send(url, { body, headers: { 'X-Webhook-Signature': signature } })
      refused(answer, 401, 'malformed-signature')
    }
  })

  it('a signature of another secret, or of another body by one byte, gets 401 and never the expected one', async () => {
    const body = ticket()
    const expected = signed(body)['X-Webhook-Signature'] as string
    const stranger = await send(url, { body, headers: signed(body, 'another secret') })
    refused(stranger, 401, 'wrong-signature')
    const bytes = Buffer.from(body)
    for (const at of [0, bytes.length >> 1, bytes.length - 1]) {
      const altered = Buffer.from(bytes)
      altered[at] = (altered[at] as number) ^ 1
      const answer = await send(url, { body: altered, headers: signed(body) })
      refused(answer, 401, 'wrong-signature')
      const right = createHmac('sha256', SECRET).update(altered).digest('hex')
      assert.equal((JSON.stringify(answer.headers) + answer.text).includes(right), false)
    }
    assert.equal((JSON.stringify(stranger.headers) + stranger.text).includes(expected), false)
  })

  it('two signature headers get 401, even if one of them is right', async () => {
    const body = ticket()
    const right = signed(body)['X-Webhook-Signature'] as string
    const headers = { 'X-Webhook-Signature': [right, '0'.repeat(64)] }
    refused(await send(url, { body, headers }), 401, 'duplicate-signature')
  })

  it('a signed time that is stale, in the future or missing gets 401', async () => {
    const minutes = (n: number) => new Date(Date.now() + n * 60_000).toISOString()
    for (const [timestamp, code] of [
      [minutes(-6), 'stale-timestamp'],
      [minutes(6), 'future-timestamp'],
      [undefined, 'missing-timestamp'],
    ]) {
      const body = ticket({ timestamp })
      refused(await send(url, { body, headers: signed(body) }), 401, code as string)
    }
  })

  it('a genuine body that lacks a required field, or has it empty, gets 400 that names the field', async () => {
    for (const body of [
      ticket({ agent_id: undefined }),
      ticket({ agent_id: '' }),
      ticket({ status: null }),
    ]) {
      const detail = refused(await send(url, { body, headers: signed(body) }), 400, 'missing-field')
      assert.match(detail, /\$\.(agent_id|status)/)
    }
  })

  it('an empty body, one that is not UTF-8, broken JSON and a form get 400 although they are signed', async () => {
    for (const body of ['', Buffer.from([0xff, 0xfe, 0x7b]), '{"agent_id":', 'agent_id=1&status=2']) {
      refused(await send(url, { body, headers: signed(body) }), 400, 'not-json')
    }
  })

  it('10 MiB get 413 that the sender sees, declared or in chunks, and the connection goes on', async () => {
    const body = randomBytes(10 * 1_048_576)
    refused(await send(url, { body, headers: signed(body) }), 413, 'body-too-large')
    const chunks = Array.from({ length: 160 }, (_, i) => body.subarray(i * 65_536, (i + 1) * 65_536))
    refused(await send(url, { body: chunks, headers: signed(body) }), 413, 'body-too-large')
  })

  it('a body that is one byte over the limit is refused, not cut', async () => {
    // Proves R3.
    const filled = ticket({ fill: '' })
    const body = filled.replace('"fill":""', `"fill":"${'x'.repeat(1_048_577 - filled.length)}"`)
    assert.equal(body.length, 1_048_577)
    refused(await send(url, { body, headers: signed(body) }), 413, 'body-too-large')
    refused(await send(url, { body: [body], headers: signed(body) }), 413, 'body-too-large')
  })

  it('Expect: 100-continue is answered with the refusal before a byte of the body is sent (R1)', async () => {
    const request = (path: string, length: number) =>
      `POST ${path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`
    const path = new URL(url).pathname
    const large = await speak(ingress.url, request(path, 10_485_760))
    assert.match(large, /^HTTP\/1\.1 413 [\s\S]*connection: close/i)
    const unknown = await speak(ingress.url, request('/webhooks/nobody', 10))
    assert.match(unknown, /^HTTP\/1\.1 404 [\s\S]*connection: close/i)
    const taken = await speak(ingress.url, request(path, 10), '100 Continue')
    assert.match(taken, /^HTTP\/1\.1 100 Continue/)
  })

  it('every unknown source gets the same 404, whatever the method and however its name is spelt', async () => {
    // Proves S5.
    const answers = await Promise.all([
      send(`${ingress.url}/webhooks/nobody`, { body: '{}' }),
      send(`${ingress.url}/webhooks/nobody`, { method: 'GET' }),
      send(`${ingress.url}/webhooks/nobody`, { method: 'DELETE' }),
      send(`${ingress.url}/webhooks/${ingress.source}/`, { body: '{}' }),
      send(`${ingress.url}/webhooks/__proto__`, { body: '{}' }),
      send(`${ingress.url}/webhooks/${ingress.source.toUpperCase()}`, { body: '{}' }),
      send(`${ingress.url}/webhooks/`, { body: '{}' }),
      send(`${ingress.url}/`, { method: 'GET' }),
    ])
    const [first] = answers
    for (const answer of answers) {
      refused(answer, 404, 'unknown-source')
      assert.equal(answer.text, first?.text)
    }
  })

  it('another method than POST gets 405 with Allow; HEAD gets it without a body', async () => {
    for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS']) {
      const answer = await send(url, { method })
      refused(answer, 405, 'method-not-allowed')
      assert.equal(answer.headers.allow, 'POST')
    }
    const head = await send(url, { method: 'HEAD' })
    assert.equal(head.status, 405)
    assert.equal(head.text, '')
  })

  it('a content encoding gets 415 with what would be accepted', async () => {
    const body = ticket()
    const answer = await send(url, { body, headers: { ...signed(body), 'Content-Encoding': 'gzip' } })
    refused(answer, 415, 'content-encoding')
    assert.equal(answer.headers['accept-encoding'], 'identity')
  })

  it('a query does not change the source', async () => {
    const body = ticket()
    refused(await send(`${url}?source=nobody`, { body }), 401, 'missing-signature')
  })

  it('what is no HTTP gets 400 and a closed connection', async () => {
    for (const bytes of [
      'HELLO\r\n\r\n',
      'POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
    ]) {
      assert.match(await speak(ingress.url, bytes), /^HTTP\/1\.1 400 [\s\S]*malformed-request/)
    }
  })

  it('a request with both Content-Length and chunks is refused: the two could be read as two requests', async () => {
    const bytes = `POST ${new URL(url).pathname} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`
    assert.match(await speak(ingress.url, bytes), /^HTTP\/1\.1 400 /)
  })

  it('a sender that goes away in the middle leaves the ingress as it was', async () => {
    const { pathname } = new URL(url)
    const said = await speak(
      ingress.url,
      `POST ${pathname} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 900000\r\n\r\n`,
      'Continue',
    )
    assert.match(said, /100 Continue/)
    const ready = await send(`${ingress.url}/health/ready`, { method: 'GET' })
    assert.equal(ready.status, 200)
  })

  it('nothing in the log holds a secret, a signature, or a line that a sender wrote', async () => {
    const body = ticket({ agent_id: '' })
    const signature = signed(body)['X-Webhook-Signature'] as string
    await send(`${url}?${encodeURIComponent('\n{"level":"info","msg":"forged"}')}`, {
      body,
      headers: signed(body),
    })
    const text = lines.join('')
    assert.ok(lines.length > 5)
    assert.equal(text.includes(SECRET), false)
    assert.equal(text.includes(signature), false)
    assert.equal(text.includes('forged'), false)
    for (const line of lines) assert.doesNotThrow(() => JSON.parse(line))
  })
})
