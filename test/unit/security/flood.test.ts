import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { heldBodies } from '@sallyport/core/metrics'
import { CallerLimits } from '@sallyport/ingress/caller-limits'
import { ClientTable } from '@sallyport/ingress/client-table'
import { clientOf } from '@sallyport/ingress/networks'
import { type TestHandler, testHandler } from '../../support/handler.ts'
import { type Answer, SECRET, signed } from '../../support/ingress.ts'
import { waitFor } from '../../support/wait-for.ts'

const CRM = {
  scheme: { header: 'X-Webhook-Signature', algorithm: 'hmac-sha256', encoding: 'hex' },
  secrets: [SECRET],
}
const GET = 'GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n'
let count = 0

describe('an address', () => {
  let handler: TestHandler
  const sockets: Socket[] = []

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy()
    handler?.close()
    await waitFor(() => heldBodies.bytes === 0)
  })

  async function opened(from: string, bytes = ''): Promise<Socket & { gone?: boolean }> {
    const { hostname, port } = new URL(handler.url)
    const socket: Socket & { gone?: boolean } = connect({
      host: hostname,
      port: Number(port),
      localAddress: from,
    })
    sockets.push(socket)
    socket.on('error', () => {})
    socket.once('close', () => {
      socket.gone = true
    })
    await once(socket, 'connect')
    socket.write(bytes)
    await sleep(20)
    return socket
  }

  function delivery(from: string, body: string, headers: Record<string, string>): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const options = { method: 'POST', headers, agent: false, localAddress: from }
      const req = request(`${handler.url}/crm`, options, res => {
        let text = ''
        res.on('data', chunk => {
          text += chunk
        })
        res.on('end', () => {
          resolve({ status: res.statusCode ?? 0, headers: res.headers, text, json: JSON.parse(text) })
        })
      })
      req.on('error', reject)
      req.end(body)
    })
  }

  function genuine(from: string, more: Record<string, string> = {}): Promise<Answer> {
    const body = JSON.stringify({ n: count++ })
    return delivery(from, body, { ...signed(body), ...more })
  }

  function forged(from: string, more: Record<string, string> = {}): Promise<Answer> {
    return delivery(from, '{}', { ...signed('forged'), ...more })
  }

  async function start(ingress: string): Promise<void> {
    handler = await testHandler({ crm: CRM as never }, { ingress })
  }

  it('A4: makes room with its own oldest connection that proved nothing, over ingress.connectionsPerAddressMax', async () => {
    await start('connectionsPerAddressMax: 3')
    const another = await opened('127.0.0.3')
    const first = await opened('127.0.0.2')
    const second = await opened('127.0.0.2')
    await opened('127.0.0.2')
    assert.equal(first.gone, undefined)
    assert.equal((await genuine('127.0.0.2')).status, 200)
    assert.deepEqual([another.gone, first.gone, second.gone], [undefined, true, undefined])
  })

  it('A4: cannot take all connections: over ingress.connectionsMax the oldest that proved nothing goes, whoever’s it is', async () => {
    await start('connectionsMax: 3')
    const body = '{"proven":1}'
    const signature = signed(body)['X-Webhook-Signature']
    const head = `POST /webhooks/crm HTTP/1.1\r\nHost: x\r\nX-Webhook-Signature: ${signature}\r\nContent-Length: ${body.length}\r\n\r\n`
    const proven = await opened('127.0.0.2', head + body)
    const silent = await opened('127.0.0.3')
    const asking = await opened('127.0.0.4', GET)
    for (let i = 0; i < 5; i++) assert.equal((await genuine('127.0.0.5')).status, 200)
    await opened('127.0.0.6')
    assert.deepEqual([proven.gone, silent.gone, asking.gone], [undefined, true, undefined])
    await opened('127.0.0.6')
    assert.deepEqual([proven.gone, asking.gone], [undefined, true])
  })

  it('A5: of a trusted proxy has connections without a limit of its own, and none is taken from it', async () => {
    await start("connectionsPerAddressMax: 1, connectionsMax: 4, trustedProxies: ['127.0.0.9']")
    const proxied = await Promise.all([1, 2, 3].map(() => opened('127.0.0.9')))
    await opened('127.0.0.2')
    await opened('127.0.0.3')
    assert.deepEqual(
      proxied.map(({ gone }) => gone),
      [undefined, undefined, undefined],
    )
  })

  it('A6: that fails to verify too often gets 429 with Retry-After, others do not, nor does one that proves a delivery', async () => {
    await start('failuresPerMinuteMax: 5')
    for (let i = 0; i < 5; i++) assert.equal((await forged('127.0.0.2')).status, 401)
    const barred = await genuine('127.0.0.2')
    assert.equal(barred.status, 429)
    assert.equal(barred.json.code, 'too-many-failures')
    assert.ok(Number(barred.headers['retry-after']) >= 1)
    assert.equal(barred.headers.connection, 'close')
    assert.equal((await genuine('127.0.0.3')).status, 200)
    for (let i = 0; i < 20; i++) {
      assert.equal((await forged('127.0.0.4')).status, 401)
      if (i % 4 === 3) assert.equal((await genuine('127.0.0.4')).status, 200)
    }
  })

  it('A6, A7: is the sender’s behind a trusted proxy, and the proxy’s own requests are not limited', async () => {
    await start("failuresPerMinuteMax: 2, trustedProxies: ['127.0.0.9']")
    const sender = { 'X-Forwarded-For': '192.0.2.7' }
    for (let i = 0; i < 2; i++) assert.equal((await forged('127.0.0.9', sender)).status, 401)
    assert.equal((await forged('127.0.0.9', sender)).status, 429)
    assert.equal((await forged('127.0.0.9', { 'X-Forwarded-For': '192.0.2.8' })).status, 401)
    for (let i = 0; i < 5; i++) assert.equal((await forged('127.0.0.9')).status, 401)
    // What a stranger writes further left changes nothing.
    assert.equal((await forged('127.0.0.9', { 'X-Forwarded-For': '192.0.2.99, 192.0.2.7' })).status, 429)
  })

  it('holds no more by its headers than by bodies: they count, by line as well, while the rest of the request stays away', async () => {
    await start('bodyBytesMax: 65536, inFlightBytesMax: 1048576')
    const long = `X: ${'x'.repeat(15_000)}\r\n`
    const many = Array.from({ length: 90 }, (_, i) => `x${i}:\r\n`).join('')
    for (const [lines, bytes] of [
      [long, 15_000],
      [many, 9_000],
    ] as const) {
      const head = `POST /webhooks/crm HTTP/1.1\r\nHost: x\r\n${lines}Content-Length: 9\r\n\r\n`
      const first = await opened('127.0.0.2', head)
      first.resume()
      await waitFor(() => heldBodies.bytes >= bytes)
      for (let i = 0; i < 1_048_576 / bytes; i++) await opened('127.0.0.2', head)
      await waitFor(() => first.gone === true)
      assert.ok(heldBodies.bytes > 1_000_000 && heldBodies.bytes <= 1_048_576, String(heldBodies.bytes))
      assert.equal((await genuine('127.0.0.3')).status, 200)
      for (const socket of sockets.splice(0)) socket.destroy()
      await waitFor(() => heldBodies.bytes === 0)
    }
  })

  it('takes no more of the bytes in flight than ingress.inFlightBytesPerAddressMax, and others find room', async () => {
    await start('bodyBytesMax: 1048576, inFlightBytesMax: 4194304, inFlightBytesPerAddressMax: 2200000')
    const head = 'POST /webhooks/crm HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n'
    for (let i = 0; i < 6; i++) await opened('127.0.0.2', head + 'x'.repeat(1_000_000))
    await waitFor(() => heldBodies.bytes > 1_500_000)
    assert.ok(heldBodies.bytes <= 2_200_000, String(heldBodies.bytes))
    const body = JSON.stringify({ fill: 'x'.repeat(1_000_000) })
    assert.equal((await delivery('127.0.0.3', body, signed(body))).status, 200)
    assert.equal((await genuine('127.0.0.2')).status, 200)
  })

  it('whose body is given up for another’s gets 503 with Retry-After at once, and its connection is closed', async () => {
    await start('inFlightBytesMax: 1048576, retryAfter: 7s')
    const head = 'POST /webhooks/crm HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n'
    const holder = await opened('127.0.0.2', head + 'x'.repeat(900_000))
    let said = ''
    holder.on('data', chunk => {
      said += chunk
    })
    await waitFor(() => heldBodies.bytes >= 900_000)
    const body = JSON.stringify({ fill: 'x'.repeat(300_000) })
    assert.equal((await delivery('127.0.0.3', body, signed(body))).status, 200)
    await waitFor(() => holder.gone === true)
    assert.match(said, /^HTTP\/1\.1 503 [\s\S]*retry-after: 7[\s\S]*overloaded/i)
  })
})

describe('the table of addresses', () => {
  it('knows an IPv4 address in every dress as one, and an IPv6 address by its network of 64 bits', () => {
    assert.equal(clientOf('::ffff:192.0.2.7'), clientOf('192.0.2.7'))
    assert.equal(clientOf('2001:db8:1:2:3:4:5:6'), clientOf('2001:DB8:1:2::1'))
    assert.notEqual(clientOf('2001:db8:1:2::1'), clientOf('2001:db8:1:3::1'))
    assert.equal(clientOf('nobody'), null)
  })

  it('holds no more than ingress.addressesMax, forgets who has nothing to be known for, and keeps who is in use', () => {
    let now = 0
    const settings = {
      bodyBytesMax: 1,
      headerBytesMax: 1,
      headerLinesMax: 1,
      inFlightBytesPerAddressMax: 1,
      failuresPerMinuteMax: 10,
      addressesMax: 100,
    }
    const limits = new CallerLimits(settings, () => now)
    for (let i = 0; i < 10_000; i++) limits.of(`a${i}`).failed()
    assert.equal(limits.addresses, 100)
    now = 60_000
    for (let i = 0; i < 200; i++) limits.of(`b${i}`)
    assert.ok(limits.addresses < 100, String(limits.addresses))

    interface Entry {
      used: boolean
      inUse(): boolean
      forgettable(): boolean
    }
    const entries = new ClientTable<Entry>(100, () => {
      const entry = { used: false, inUse: () => entry.used, forgettable: () => true }
      return entry
    })
    const kept = entries.of('kept')
    kept.used = true
    for (let i = 0; i < 1_000; i++) entries.of(`c${i}`)
    assert.equal(entries.of('kept'), kept)
  })
})
