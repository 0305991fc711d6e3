import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { promisify } from 'node:util'
import { heldBodies } from '@sallyport/core/metrics'
import type { IngressSettings } from '@sallyport/core/settings'
import { createAdminServer } from '@sallyport/ingress/admin'
import { closeListener, createListener, listen } from '@sallyport/ingress/listener'
import { Readiness } from '@sallyport/ingress/readiness'
import { AdminListener } from '@sallyport/processor/admin'
import { BadPeer, type BadPeerOptions } from '../../support/bad-peer.ts'
import { type TestHandler, testHandler } from '../../support/handler.ts'
import { SECRET, signed } from '../../support/ingress.ts'
import { FIRST_CERTIFICATE } from '../../support/tls-certificates.ts'

const LIMITS = {
  headerTimeoutMs: 300,
  bodyTimeoutMs: 600,
  keepAliveTimeoutMs: 400,
  answerTimeoutMs: 400,
  connectionAgeMaxMs: 60_000,
  pipelinedRequestsMax: 16,
}
const SETTINGS = 'headerTimeout: 300ms, bodyTimeout: 600ms, keepAliveTimeout: 400ms, answerTimeout: 400ms'
/** The longest of them, the second that giving up may take, and what a busy machine adds. */
const GONE_MS_MAX = 600 + 1_000 + 1_500

const GET = 'GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n'
const CRM = {
  scheme: { header: 'X-Webhook-Signature', algorithm: 'hmac-sha256', encoding: 'hex' },
  secrets: [SECRET],
}

function head(target: string, more = 'Content-Length: 1000', method = 'POST'): string {
  return `${method} ${target} HTTP/1.1\r\nHost: x\r\n${more}\r\n\r\n`
}

function genuine(body: string): string {
  const signature = signed(body)['X-Webhook-Signature']
  return head('/webhooks/crm', `X-Webhook-Signature: ${signature}\r\nContent-Length: ${body.length}`) + body
}

/** What a peer does, and the answers that it gets in all. */
const CASES: readonly (readonly [what: string, options: BadPeerOptions, answers: readonly string[]])[] = [
  ['says nothing', {}, ['408']],
  ['says nothing and has closed its side', { halfCloses: true }, []],
  ['sends bare CRLFs without end', { drip: '\r\n' }, ['408']],
  ['sends its headers byte by byte', { first: 'POST /webhooks/crm HTTP/1.1\r\nX: ', drip: 'x' }, ['408']],
  ['sends header after header', { first: 'POST /webhooks/crm HTTP/1.1\r\n', drip: 'X: y\r\n' }, ['408']],
  ['is idle after an answer', { first: GET }, ['200']],
  ['sends bare CRLFs after an answer', { first: GET, drip: '\r\n' }, ['200', '408']],
  ['sends bits of headers after an answer', { first: GET, afterAnswer: 'GET /', drip: 'x' }, ['200', '408']],
  ['lacks a byte of its body', { first: `${head('/webhooks/crm', 'Content-Length: 9')}12345678` }, ['408']],
  ['lacks all of its body', { first: head('/webhooks/crm') }, ['408']],
  ['sends its body byte by byte', { first: head('/webhooks/crm'), drip: 'x' }, ['408']],
  [
    'sends its body in chunks without end',
    { first: head('/webhooks/crm', 'Transfer-Encoding: chunked'), drip: '1\r\nx\r\n' },
    ['408'],
  ],
  ['closes its side within the body', { first: `${head('/webhooks/crm')}x`, halfCloses: true }, ['400']],
  [
    'breaks its chunks',
    { first: `${head('/webhooks/crm', 'Transfer-Encoding: chunked')}1\r\nx\r\nzzz\r\n`, drip: 'x' },
    ['400'],
  ],
  ['keeps the body of a health path', { first: head('/health/live'), drip: 'x' }, ['200']],
  ['keeps the body of /health/ready', { first: head('/health/ready'), drip: 'x' }, ['200']],
  ['keeps the body of an unknown path', { first: head('/webhooks/nobody'), drip: 'x' }, ['404']],
  [
    'keeps the body of a wrong method',
    { first: head('/webhooks/crm', 'Content-Length: 999', 'PUT'), drip: 'x' },
    ['405'],
  ],
  ['goes on after a 413', { first: head('/webhooks/crm', 'Content-Length: 99999999'), drip: 'x' }, ['413']],
  [
    'keeps the body that it was told to send',
    { first: head('/webhooks/crm', 'Content-Length: 9\r\nExpect: 100-continue') },
    ['100', '408'],
  ],
  [
    'expects what nobody does',
    { first: head('/webhooks/crm', 'Content-Length: 9\r\nExpect: more'), drip: 'x' },
    ['417'],
  ],
  [
    'writes what is no HTTP behind a delivery',
    { first: `${genuine('{"n":1}')}\r\nzzz\r\n\r\n`, drip: 'x' },
    ['200'],
  ],
  ['writes what is no HTTP', { first: 'zzz\r\n\r\n', drip: 'x' }, ['400']],
  [
    'asks for the unfinished behind a delivery',
    { first: `${genuine('{"n":2}')}${head('/webhooks/crm')}`, drip: 'x' },
    ['200', '408'],
  ],
]

/** Waits until a server has no connection and no byte of a body; fails where it keeps one. */
async function letsGo(connections: () => Promise<number>, what: string): Promise<void> {
  const until = Date.now() + GONE_MS_MAX
  while ((await connections()) > 0 || heldBodies.bytes > 0) {
    assert.ok(
      Date.now() < until,
      `${what}: ${await connections()} connections, ${heldBodies.bytes} bytes are held`,
    )
    await sleep(20)
  }
}

describe('a peer that does not go away', function () {
  this.timeout(20_000)
  let handler: TestHandler | undefined
  const bad: BadPeer[] = []

  afterEach(() => {
    for (const peer of bad.splice(0)) peer.close()
    handler?.close()
    handler = undefined
  })

  async function against(url: string, options: BadPeerOptions): Promise<BadPeer> {
    const peer = await BadPeer.open(url, options)
    bad.push(peer)
    return peer
  }

  describe('of a delivery', () => {
    const peers = new Map<string, BadPeer>()
    before(async () => {
      handler = await testHandler({ crm: CRM as never }, { ingress: SETTINGS })
      for (const [what, options] of CASES) peers.set(what, await against(handler.url, options))
      await sleep(50)
      await letsGo(handler.connections, 'a delivery')
      await sleep(50)
    })

    for (const [what, , answers] of CASES) {
      it(`holds nothing after its deadline, and has one answer for each request at most, where it ${what}`, () => {
        const peer = peers.get(what)
        assert.deepEqual(peer?.answers, answers, peer?.said)
      })
    }
  })

  it('holds nothing once it has not read an answer for ingress.answerTimeout', async () => {
    const server = createListener(listenerSettings(), (_req, res) => res.end(Buffer.alloc(64 * 1_048_576)))
    const url = await listen(server, '127.0.0.1', 0)
    await against(url, { first: GET, deaf: true })
    await sleep(50)
    await letsGo(promisify(server.getConnections.bind(server)), 'a deaf peer')
    await closeListener(server, 0)
  })

  it('is reset when it sends more requests than ingress.pipelinedRequestsMax before the first is answered', async () => {
    let asked = 0
    const server = createListener(listenerSettings(), () => void asked++)
    const url = await listen(server, '127.0.0.1', 0)
    const peer = await against(url, { first: GET.repeat(1_000) })
    await letsGo(promisify(server.getConnections.bind(server)), 'a peer that pipelines')
    assert.equal(asked, LIMITS.pipelinedRequestsMax)
    assert.deepEqual(peer.answers, [])
    await closeListener(server, 0)
  })

  it('is told to close when its connection is as old as ingress.connectionAgeMax, and closed where it asks for nothing', async () => {
    const server = createListener(
      listenerSettings({ connectionAgeMaxMs: 100, keepAliveTimeoutMs: 60_000 }),
      (_req, res) => res.end(),
    )
    const url = await listen(server, '127.0.0.1', 0)
    const idle = await against(url, { first: GET })
    const busy = await against(url, { first: GET, drip: GET })
    await letsGo(promisify(server.getConnections.bind(server)), 'an old connection')
    assert.deepEqual(idle.answers, ['200'])
    assert.match(busy.said, /Connection: close/)
    await closeListener(server, 0)
  })

  it('holds nothing of the operators’ listeners either, with whatever body', async () => {
    const readiness = new Readiness(() => {})
    const admin = createAdminServer(readiness, LIMITS)
    const url = await listen(admin, '127.0.0.1', 0)
    for (const target of ['/metrics', '/health/live', '/health/ready', '/nothing']) {
      await against(url, { first: head(target), drip: 'x' })
    }
    await against(url, { drip: '\r\n' })
    await against(url, {})
    await sleep(50)
    await letsGo(promisify(admin.getConnections.bind(admin)), 'the ingress’s')
    assert.deepEqual(
      bad.map(({ answers }) => answers),
      [['200'], ['200'], ['503'], ['404'], ['408'], ['408']],
    )
    await closeListener(admin, 0)

    const processors = new AdminListener(() => 'ready', LIMITS)
    const other = await processors.listen('127.0.0.1', 0)
    const peers = [
      await against(other, { first: head('/metrics'), drip: 'x' }),
      await against(other, { drip: '\r\n' }),
      await against(other, { first: 'zzz\r\n\r\n', drip: 'x' }),
    ]
    const until = Date.now() + GONE_MS_MAX
    while (!peers.every(({ gone }) => gone)) {
      assert.ok(Date.now() < until, 'a processor’s listener keeps a connection')
      await sleep(20)
    }
    assert.deepEqual(
      peers.map(({ answers }) => answers),
      [['200'], ['408'], ['400']],
    )
    processors.close()
  })

  describe('over TLS', () => {
    let folder: string
    before(() => {
      folder = mkdtempSync(path.join(tmpdir(), 'sallyport-deadlines-'))
      writeFileSync(path.join(folder, 'cert.pem'), FIRST_CERTIFICATE.cert)
      writeFileSync(path.join(folder, 'key.pem'), FIRST_CERTIFICATE.key)
    })
    after(() => rmSync(folder, { recursive: true }))

    it('holds nothing without a handshake, within one, or after it', async () => {
      const tls = { cert: path.join(folder, 'cert.pem'), key: path.join(folder, 'key.pem') }
      const server = createListener(listenerSettings({ tls }), (_req, res) => res.end())
      const url = await listen(server, '127.0.0.1', 0)
      const { port } = new URL(url)
      // A record of a handshake that promises 512 bytes, and comes byte by byte.
      await against(url, { first: Buffer.from('160301020001', 'hex'), drip: '\0' })
      await against(url, {})
      for (const bytes of ['', GET, 'POST /webhooks/crm HTTP/1.1\r\n', head('/webhooks/crm')]) {
        const raw = connect({ port: Number(port), host: '127.0.0.1', allowHalfOpen: true })
        const socket = connectTls({ socket: raw, rejectUnauthorized: false })
        for (const one of [raw, socket]) one.on('error', () => {})
        await once(socket, 'secureConnect')
        socket.write(bytes)
      }
      await letsGo(promisify(server.getConnections.bind(server)), 'TLS')
      await closeListener(server, 0)
    })
  })

  function listenerSettings(more: Partial<IngressSettings> = {}): IngressSettings {
    const connections = { connectionsMax: 100, connectionsPerAddressMax: 100, addressesMax: 100 }
    return {
      headerBytesMax: 16_384,
      trustedProxies: [],
      ...LIMITS,
      ...connections,
      ...more,
    } as unknown as IngressSettings
  }
})
