import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createLog } from '@sallyport/core/log'
import { loadSettings } from '@sallyport/core/settings'
import { Readiness } from '@sallyport/ingress/readiness'
import { createHandler } from '@sallyport/ingress/server'
import { type Answer, send } from '../../support/ingress.ts'

/** An ingress that never heard of Kafka: what it says to deliveries that pass the door is "not ready". */
async function door(ingress: string, loopback: boolean): Promise<Server> {
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-door-'))
  const file = path.join(folder, 'sallyport.yaml')
  writeFileSync(
    file,
    `ingress: { ${ingress} }\nsources: { crm: { preset: github, secrets: ['\${env:X}'] } }\n`,
  )
  const log = createLog('test')
  log.level = 'silent'
  const handler = createHandler({
    settings: loadSettings(file, {}).ingress,
    loopback,
    doors: () => new Map(),
    learning: { known: true, learn: async () => 'closed' },
    target: () => undefined,
    readiness: new Readiness(() => {}),
    clock: Date.now,
    log,
  })
  const server = createServer(handler).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

describe('deliveries without TLS', () => {
  let server: Server | undefined

  afterEach(() => {
    server?.close()
    server?.closeAllConnections()
  })

  async function answerOf(
    settings: string,
    loopback: boolean,
    headers: Record<string, string>,
  ): Promise<Answer> {
    server = await door(settings, loopback)
    const { port } = server.address() as AddressInfo
    return await send(`http://127.0.0.1:${port}/webhooks/crm`, { body: '{}', headers })
  }

  it('are refused on a listener that others can reach, before anything else is looked at', async () => {
    const answer = await answerOf('host: 192.0.2.1', false, {})
    assert.equal(answer.status, 403)
    assert.equal(answer.json.code, 'https-required')
  })

  it('are refused although they say X-Forwarded-Proto: https, where the peer is no trusted proxy', async () => {
    const answer = await answerOf("trustedProxies: ['10.0.0.0/8']", false, { 'X-Forwarded-Proto': 'https' })
    assert.equal(answer.json.code, 'https-required')
  })

  it('are let in where a trusted proxy says that the sender came by https, and refused where it says http', async () => {
    const trusted = "trustedProxies: ['127.0.0.1']"
    const secure = await answerOf(trusted, false, { 'X-Forwarded-Proto': 'https' })
    assert.equal(secure.json.code, 'unknown-source')
    server?.close()
    const plain = await answerOf(trusted, false, { 'X-Forwarded-Proto': 'http' })
    assert.equal(plain.json.code, 'https-required')
  })

  it('are let in on a loopback listener, and where ingress.plainHttp allows them by name', async () => {
    assert.equal((await answerOf('', true, {})).json.code, 'unknown-source')
    server?.close()
    assert.equal((await answerOf('plainHttp: allow', false, {})).json.code, 'unknown-source')
  })

  it('health paths answer without TLS: probes come from within', async () => {
    server = await door('', false)
    const { port } = server.address() as AddressInfo
    assert.equal((await send(`http://127.0.0.1:${port}/health/live`, { method: 'GET' })).status, 200)
    const ready = await send(`http://127.0.0.1:${port}/health/ready`, { method: 'GET' })
    assert.equal(ready.status, 503)
    assert.equal(ready.json.status, 'starting')
  })
})
