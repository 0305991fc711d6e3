import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { connect as connectTls } from 'node:tls'
import type { IngressSettings } from '@sallyport/core/settings'
import { closeListener, createListener, listen } from '@sallyport/ingress/listener'
import { FIRST_CERTIFICATE } from '../../support/tls-certificates.ts'

describe('a TLS listener', () => {
  let server: ReturnType<typeof createListener>
  let port: number
  let folder: string

  beforeEach(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'sallyport-listener-'))
    const tls = { cert: path.join(folder, 'cert.pem'), key: path.join(folder, 'key.pem') }
    writeFileSync(tls.cert, FIRST_CERTIFICATE.cert)
    writeFileSync(tls.key, FIRST_CERTIFICATE.key)
    const limits = { headerBytesMax: 16_384, headerTimeoutMs: 200, bodyTimeoutMs: 1_000 }
    const connections = {
      connectionsMax: 10,
      connectionsPerAddressMax: 10,
      addressesMax: 100,
      trustedProxies: [],
    }
    const settings = {
      ...limits,
      ...connections,
      keepAliveTimeoutMs: 1_000,
      tls,
    } as unknown as IngressSettings
    server = createListener(settings, (_req, res) => res.end())
    port = Number(new URL(await listen(server, '127.0.0.1', 0)).port)
  })
  afterEach(async () => {
    await closeListener(server, 100)
    rmSync(folder, { recursive: true })
  })

  it('closes a connection on which no handshake comes', async () => {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'close')
  })

  it('closes a connection that speaks plain HTTP, without an answer', async () => {
    const socket = connect(port, '127.0.0.1')
    let said = ''
    socket.on('data', chunk => {
      said += chunk.toString('latin1')
    })
    socket.on('error', () => {})
    socket.write('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n')
    await once(socket, 'close')
    assert.doesNotMatch(said, /HTTP/)
  })

  it('refuses versions before TLS 1.2', async () => {
    const socket = connectTls({
      port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      minVersion: 'TLSv1.1',
      maxVersion: 'TLSv1.1',
      ciphers: 'ALL@SECLEVEL=0',
    })
    const [error] = await once(socket, 'error')
    assert.match(String(error), /protocol version/)
  })
})
