import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import type { Connection } from '@sallyport/core/connection'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import { Topics } from '../support/events.ts'
import {
  CRM,
  keptLog,
  SECRET,
  send,
  signed,
  type TestIngress,
  testIngress,
  ticket,
} from '../support/ingress.ts'
import { PARTITIONS } from '../support/processor.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { FIRST_CERTIFICATE, SECOND_CERTIFICATE, type TestCertificate } from '../support/tls-certificates.ts'

describe('the door in operation', function () {
  this.timeout(60_000)
  let connection: Connection
  let ingress: TestIngress | undefined
  const { log, lines } = keptLog()

  before(async () => {
    connection = await sharedCluster()
  })
  afterEach(async () => {
    lines.length = 0
    await ingress?.stop()
    ingress = undefined
  })

  async function started(yaml: string, settings = ''): Promise<TestIngress & { readonly door: string }> {
    ingress = await testIngress(connection, yaml, { ingress: settings, log })
    await ingress.ready
    return { ...ingress, door: `${ingress.url}/webhooks/${ingress.source}` }
  }

  async function statusOf(
    door: string,
    secret = SECRET,
    headers: Record<string, string> = {},
  ): Promise<number> {
    const body = ticket()
    return (await send(door, { body, headers: { ...signed(body, secret), ...headers } })).status
  }

  it('an allow-list lets in only the addresses that trusted proxies vouch for', async () => {
    const yaml = `${CRM}    allowFrom: ['192.0.2.0/24', '2001:db8::/32']\n`
    const { door } = await started(yaml, "trustedProxies: ['127.0.0.0/8', '10.0.0.0/8']")
    const from = (list: string) => statusOf(door, SECRET, { 'X-Forwarded-For': list })
    assert.equal(await from('192.0.2.7'), 200)
    assert.equal(await from('203.0.113.1, 2001:db8::5, 10.0.0.9'), 200)
    assert.equal(await from('192.0.2.7, 203.0.113.1'), 403)
    assert.equal(await from('192.0.2.7, nonsense'), 403)
    assert.equal(await statusOf(door), 403, 'the proxy itself is not on the list')
    const refused = await send(door, { body: ticket(), headers: { 'X-Forwarded-For': '203.0.113.1' } })
    assert.equal(refused.json.code, 'address-refused')
  })

  it('without trusted proxies the header is nothing, and the peer decides', async () => {
    const { door } = await started(`${CRM}    allowFrom: ['192.0.2.0/24']\n`)
    assert.equal(await statusOf(door, SECRET, { 'X-Forwarded-For': '192.0.2.7' }), 403)
  })

  it('rotation: after a reload the new secret and the previous one are accepted, and no delivery fails meanwhile', async () => {
    const { door, configure, folder, reload } = await started(CRM)
    const statuses: number[] = []
    let sending = true
    const sender = (async () => {
      while (sending) statuses.push(await statusOf(door))
    })()
    writeFileSync(`${folder}/next`, 'the next secret, long enough')
    const both = `secrets: ['\${file:FOLDER/next}', '\${file:FOLDER/secret}']`
    for (let i = 0; i < 5; i++) {
      configure(i % 2 === 0 ? CRM.replace(/secrets: .*/, both) : CRM)
      reload()
      await sleep(20)
    }
    sending = false
    await sender
    assert.ok(statuses.length > 5)
    assert.deepEqual(new Set(statuses), new Set([200]))
    assert.equal(await statusOf(door, 'the next secret, long enough'), 200)
    configure(CRM.replace(/secrets: .*/, `secrets: ['\${file:FOLDER/next}']`))
    reload()
    assert.equal(await statusOf(door), 401, 'the old secret is out')
  })

  it('a bad new file keeps the old sources and says why', async () => {
    const { door, configure, reload, folder } = await started(CRM)
    for (const [yaml, why] of [
      ['sources: [', /SP_SETTINGS/],
      [CRM.replace('hmac-sha256', 'hmac-md5'), /SP_SETTINGS: .*algorithm/],
      [CRM.replace('FOLDER/secret', 'FOLDER/missing'), /SP_SECRET_MISSING/],
    ] as const) {
      lines.length = 0
      configure(yaml)
      reload()
      assert.equal(await statusOf(door), 200)
      const said = lines.find(line => line.includes('stay as they were'))
      assert.match(said ?? '', why)
    }
    assert.equal(lines.join('').includes(SECRET), false)
    rmSync(`${folder}/sallyport.yaml`)
    reload()
    assert.equal(await statusOf(door), 200)
  })

  it('a changed file is taken up without a signal, also when it is replaced by renaming', async () => {
    const { door, folder } = await started(CRM)
    writeFileSync(`${folder}/draft`, 'another secret, long enough')
    renameSync(`${folder}/draft`, `${folder}/secret`)
    const deadline = Date.now() + 10_000
    while ((await statusOf(door, 'another secret, long enough')) !== 200) {
      assert.ok(Date.now() < deadline, 'the change was not seen')
      await sleep(200)
    }
    assert.equal(await statusOf(door), 401)
  })

  describe('HTTPS', () => {
    async function certificateOf(url: string): Promise<string> {
      const { port } = new URL(url)
      const socket: TLSSocket = connectTls({
        port: Number(port),
        host: '127.0.0.1',
        rejectUnauthorized: false,
      })
      await once(socket, 'secureConnect')
      const { CN } = socket.getPeerCertificate().subject
      socket.destroy()
      return String(CN)
    }

    function write(folder: string, certificate: TestCertificate): void {
      writeFileSync(`${folder}/cert.pem`, certificate.cert)
      writeFileSync(`${folder}/key.pem`, certificate.key)
    }

    it('deliveries come by TLS, and a new certificate is taken up without dropping a connection', async () => {
      const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-tls-'))
      write(dir, FIRST_CERTIFICATE)
      const { door, url, reload } = await started(CRM, `tls: { cert: ${dir}/cert.pem, key: ${dir}/key.pem }`)
      assert.match(url, /^https:/)
      assert.equal(await certificateOf(url), FIRST_CERTIFICATE.name)
      assert.equal(await statusOf(door), 200)

      const { port } = new URL(url)
      const held = connectTls({ port: Number(port), host: '127.0.0.1', rejectUnauthorized: false })
      await once(held, 'secureConnect')
      write(dir, SECOND_CERTIFICATE)
      reload()
      assert.equal(await certificateOf(url), SECOND_CERTIFICATE.name)
      held.write('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n')
      const [chunk] = await once(held, 'data')
      assert.match(String(chunk), /200 OK/)
      held.destroy()

      writeFileSync(`${dir}/key.pem`, FIRST_CERTIFICATE.key)
      reload()
      assert.equal(
        await certificateOf(url),
        SECOND_CERTIFICATE.name,
        'a key that does not fit changes nothing',
      )
      assert.ok(lines.some(line => line.includes('the certificate stays as it was')))
      rmSync(dir, { recursive: true })
    })
  })

  it("the caller's trace is not the parent of ours, and every answer names its own trace", async () => {
    const { door } = await started(CRM)
    const caller = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    const body = ticket()
    const headers = { ...signed(body), traceparent: caller }
    const answers = await Promise.all([1, 2].map(() => send(door, { body, headers })))
    const traces = answers.map(({ headers }) => String(headers.traceresponse))
    for (const trace of traces) {
      assert.match(trace, /^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/)
      assert.notEqual(trace.slice(3, 35), caller.slice(3, 35))
    }
    assert.notEqual(traces[0], traces[1])
  })

  it('metrics stand on the operators’ listener only, and name no source that is not configured', async () => {
    const { door, url, source, adminUrl } = await started(CRM, 'adminPort: 0')
    assert.equal(await statusOf(door), 200)
    await send(`${url}/webhooks/made-up-by-a-stranger`, { body: '{}' })
    assert.equal((await send(`${url}/metrics`, { method: 'GET' })).status, 404)
    const { status, text } = await send(`${adminUrl}/metrics`, { method: 'GET' })
    assert.equal(status, 200)
    assert.ok(
      text.includes(`sallyport_ingress_deliveries_total{source="${source}",status="200",code="accepted"} 1`),
    )
    assert.equal(text.includes('made-up-by-a-stranger'), false)
  })

  it('draining: not ready, requests in flight are finished and stored, new connections are refused', async () => {
    const running = await started(CRM)
    const { door, url, source, drain } = running
    const body = ticket()
    const { port, hostname } = new URL(url)
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    const signature = signed(body)['X-Webhook-Signature']
    const head = `POST ${new URL(door).pathname} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\nX-Webhook-Signature: ${signature}\r\n\r\n`
    socket.write(head + body.slice(0, 10))
    await sleep(100)
    const drained = drain(5_000)
    await assert.rejects(send(`${url}/health/ready`, { method: 'GET' }), /ECONNREFUSED/)
    socket.write(body.slice(10))
    let said = ''
    socket.on('data', chunk => {
      said += chunk
    })
    await once(socket, 'close')
    await drained
    assert.match(said, /^HTTP\/1\.1 200 OK/)
    assert.match(said, /Connection: close/)
    const topics = new Topics(connection, PARTITIONS)
    const records = await topics.read(EVENTS_TOPIC, ({ headers }) => headers.ce_source === source, 1)
    assert.equal(records.length, 1)
  })

  it('a taken port is one clear sentence', async () => {
    const { url } = await started(CRM)
    const { port } = new URL(url)
    await assert.rejects(
      testIngress(connection, CRM, { ingress: `port: ${port}` }),
      /SP_PORT_TAKEN: 127\.0\.0\.1:\d+ is taken/,
    )
  })

  it('a window below the time for which the sender repeats deliveries refuses to start', async () => {
    const yaml = "sources:\n  SOURCE: { preset: stripe, secrets: ['${file:FOLDER/secret}'] }\n"
    await assert.rejects(
      testIngress(connection, yaml.replace('sources:', 'window: 1h\nsources:')),
      /SP_SETTINGS: .*window/,
    )
  })

  it('headers that carry signatures or credentials cannot be kept', async () => {
    for (const name of ['Authorization', 'X-Hub-Signature-256', 'Cookie', 'X-Api-Key', 'X-Gitlab-Token']) {
      await assert.rejects(
        testIngress(connection, `${CRM}    headers: [${name}]\n`),
        /SP_SETTINGS: .*headers names/,
      )
    }
  })
})
