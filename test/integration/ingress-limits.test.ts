import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import type { Connection } from '@sallyport/core/connection'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import { Topics } from '../support/events.ts'
import { CRM, send, signed, speak, type TestIngress, testIngress, ticket } from '../support/ingress.ts'
import { PARTITIONS } from '../support/processor.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

const PLAIN = `
sources:
  SOURCE:
    scheme: { header: X-Webhook-Signature, algorithm: hmac-sha256, encoding: hex }
    secrets: ['\${file:FOLDER/secret}']
`

describe('limits of the door', function () {
  this.timeout(60_000)
  let connection: Connection
  let ingress: TestIngress | undefined
  const sockets: Socket[] = []

  before(async () => {
    connection = await sharedCluster()
  })
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy()
    await ingress?.stop()
    ingress = undefined
  })

  async function started(yaml: string, settings = ''): Promise<TestIngress & { readonly door: string }> {
    ingress = await testIngress(connection, yaml, { ingress: settings })
    await ingress.ready
    return { ...ingress, door: `${ingress.url}/webhooks/${ingress.source}` }
  }

  /** An open connection on which these bytes were written. */
  async function opened(url: string, bytes: string): Promise<Socket> {
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    sockets.push(socket)
    socket.on('error', () => {})
    await once(socket, 'connect')
    socket.write(bytes)
    return socket
  }

  it('headers over ingress.headerBytesMax get 431', async () => {
    const { door } = await started(CRM, 'headerBytesMax: 2048')
    const answer = await send(door, { body: ticket(), headers: { 'X-Long': 'x'.repeat(3_000) } })
    assert.equal(answer.status, 431)
    assert.equal(answer.json.code, 'headers-too-large')
  })

  it('headers that come too slowly get 408 and lose their connection', async () => {
    const { url } = await started(CRM, 'headerTimeout: 400ms, bodyTimeout: 5s')
    const said = await speak(url, 'POST /webhooks/x HTTP/1.1\r\nHost: x\r\n')
    assert.match(said, /^HTTP\/1\.1 408 [\s\S]*request-timeout/)
  })

  it('a body that comes too slowly gets 408 and loses its connection', async () => {
    const { url, door } = await started(CRM, 'headerTimeout: 400ms, bodyTimeout: 800ms')
    const head = `POST ${new URL(door).pathname} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{`
    assert.match(await speak(url, head), /^HTTP\/1\.1 408 [\s\S]*request-timeout/)
  })

  it('a connection on which nothing comes is closed, before its first request as after its last', async () => {
    const { url } = await started(CRM, 'headerTimeout: 400ms, keepAliveTimeout: 300ms')
    assert.match(await speak(url, ''), /^HTTP\/1\.1 408 /)
    const said = await speak(url, 'GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n')
    assert.equal(said.match(/HTTP\/1\.1 /g)?.length, 1)
    assert.match(said, /^HTTP\/1\.1 200 /)
  })

  it('a connection is closed after ingress.requestsPerConnectionMax requests', async () => {
    const { url } = await started(CRM, 'requestsPerConnectionMax: 2')
    const get = 'GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n'
    const said = await speak(url, get + get)
    assert.equal(said.match(/HTTP\/1\.1 200/g)?.length, 2)
    assert.match(said, /Connection: close/)
  })

  it('over ingress.connectionsMax the oldest connection that proved nothing is reset, and who comes is served', async () => {
    const { url } = await started(CRM, 'connectionsMax: 2')
    const first = await opened(url, '')
    await opened(url, '')
    const gone = new Promise<void>(resolve => first.once('close', () => resolve()))
    const third = await opened(url, 'GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n')
    const [chunk] = await once(third, 'data')
    assert.match(String(chunk), /200 OK/)
    await gone
  })

  it('over ingress.inFlightBytesMax the body that has been arriving for the longest gets 503 with Retry-After, and who comes is served', async () => {
    // Proves S3, R2 and R4.
    const { url, door } = await started(CRM, 'inFlightBytesMax: 1048576, retryAfter: 7s')
    const head = `POST ${new URL(door).pathname} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n`
    const holder = await opened(url, head + 'x'.repeat(900_000))
    await sleep(300)
    const told = once(holder, 'data')
    const body = ticket({ fill: 'x'.repeat(300_000) })
    assert.equal((await send(door, { body, headers: signed(body) })).status, 200)
    assert.match(String((await told)[0]), /^HTTP\/1\.1 503 [\s\S]*retry-after: 7[\s\S]*overloaded/i)
  })

  it('declared lengths take nothing of the budget: only bytes that arrived do', async () => {
    // Proves R2.
    const { url, door } = await started(CRM, 'inFlightBytesMax: 1048576')
    const head = `POST ${new URL(door).pathname} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n`
    for (let i = 0; i < 20; i++) await opened(url, head)
    const body = ticket()
    assert.equal((await send(door, { body, headers: signed(body) })).status, 200)
  })

  it('a source over its rate gets 429 with Retry-After, and forged requests do not count', async () => {
    // Proves S2.
    const { door } = await started(`${PLAIN}    rate: { perSecond: 0.5, burst: 3 }\n`)
    for (let i = 0; i < 20; i++) {
      assert.equal((await send(door, { body: ticket(), headers: signed('forged') })).status, 401)
    }
    const statuses: number[] = []
    for (let i = 0; i < 4; i++) {
      const body = ticket()
      const answer = await send(door, { body, headers: signed(body) })
      statuses.push(answer.status)
      if (answer.status === 429) {
        assert.equal(answer.json.code, 'too-many-requests')
        assert.ok(Number(answer.headers['retry-after']) >= 1)
      }
    }
    assert.deepEqual(statuses, [200, 200, 200, 429])
  })

  describe('content encodings', () => {
    const ENCODERS = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync, zstd: zstdCompressSync }

    it('where the signature covers what comes out, bodies are decoded first and stored decoded', async () => {
      const { door, source } = await started(`${PLAIN}    contentEncoding: decode\n`)
      const topics = new Topics(connection, PARTITIONS)
      const sent = new Set<string>()
      for (const [encoding, encode] of Object.entries(ENCODERS)) {
        const body = ticket({ encoding })
        const headers = { ...signed(body), 'Content-Encoding': encoding }
        const answer = await send(door, { body: encode(Buffer.from(body)), headers })
        assert.equal(answer.status, 200, `${encoding}: ${answer.text}`)
        sent.add(body)
      }
      const records = await topics.read(
        EVENTS_TOPIC,
        ({ headers }) => headers.ce_source === source,
        sent.size,
      )
      const events = await Promise.all(records.map(({ value }) => topics.decode(value as Buffer)))
      assert.deepEqual(new Set(events.map(({ body }) => String(body))), sent)
    })

    it('bombs of every encoding get 413 before they have unpacked', async () => {
      // Proves R3.
      const { door } = await started(`${PLAIN}    contentEncoding: decode\n`)
      const zeros = Buffer.alloc(64 * 1_048_576)
      for (const [encoding, encode] of Object.entries(ENCODERS)) {
        const bomb = encode(zeros)
        assert.ok(bomb.length < 1_048_576)
        const before = process.memoryUsage.rss()
        const answer = await send(door, {
          body: bomb,
          headers: { ...signed(zeros), 'Content-Encoding': encoding },
        })
        assert.equal(answer.status, 413, `${encoding}: ${answer.text}`)
        assert.ok(process.memoryUsage.rss() - before < 48 * 1_048_576, encoding)
      }
    })

    it('what is not in its encoding gets 400, and an unknown or doubled encoding 415', async () => {
      const { door } = await started(`${PLAIN}    contentEncoding: decode\n`)
      const body = ticket()
      const whole = gzipSync(body)
      for (const [encoding, bytes, status] of [
        ['gzip', Buffer.from(body), 400],
        ['gzip', whole.subarray(0, whole.length - 9), 400],
        ['compress', Buffer.from(body), 415],
        ['gzip, br', Buffer.from(body), 415],
        ['__proto__', Buffer.from(body), 415],
      ] as const) {
        const headers = { ...signed(body), 'Content-Encoding': encoding }
        const answer = await send(door, { body: bytes, headers })
        assert.equal(answer.status, status, `${encoding}: ${answer.text}`)
      }
    })

    it('where the signature covers the bytes as sent, they are verified and stored so', async () => {
      const { door, source } = await started(`${PLAIN}    contentEncoding: keep\n`)
      const topics = new Topics(connection, PARTITIONS)
      const body = gzipSync(ticket())
      const answer = await send(door, { body, headers: { ...signed(body), 'Content-Encoding': 'gzip' } })
      assert.equal(answer.status, 200, answer.text)
      const [record] = await topics.read(EVENTS_TOPIC, ({ headers }) => headers.ce_source === source, 1)
      const event = await topics.decode(record?.value as Buffer)
      assert.deepEqual(event.body, body)
      assert.deepEqual({ ...(event.headers as object) }, { 'content-encoding': 'gzip' })
    })
  })

  it("a source's own success answer is given instead of the usual one", async () => {
    const { door } = await started(
      `${PLAIN}    success: { status: 202, body: '<ok/>', contentType: application/xml }\n`,
    )
    const body = ticket()
    const answer = await send(door, { body, headers: signed(body) })
    assert.equal(answer.status, 202)
    assert.equal(answer.text, '<ok/>')
    assert.equal(answer.headers['content-type'], 'application/xml')
  })

  it('a body takes its time until the deadline: one that is slow but in time is accepted', async () => {
    const { url, door } = await started(CRM, 'bodyTimeout: 5s')
    const body = ticket()
    const signature = signed(body)['X-Webhook-Signature']
    const head = `POST ${new URL(door).pathname} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\nX-Webhook-Signature: ${signature}\r\n\r\n`
    const socket = await opened(url, head)
    for (const char of [body.slice(0, 20), body.slice(20, 40), body.slice(40)]) {
      await sleep(100)
      socket.write(char)
    }
    const [chunk] = await once(socket, 'data')
    assert.match(String(chunk), /^HTTP\/1\.1 200 OK/)
  })
})
