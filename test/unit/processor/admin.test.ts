import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { AdminListener, type ProcessorsState } from '@sallyport/processor/admin'

describe('the operators’ listener of processors', () => {
  let state: ProcessorsState = 'starting'
  let listener: AdminListener
  beforeEach(() => {
    listener = new AdminListener(() => state)
  })
  afterEach(() => listener.close())

  it('serves the metrics, and is ready from when every processor has joined until they drain', async () => {
    const url = await listener.listen('127.0.0.1', 0)
    const metrics = await fetch(`${url}/metrics?x`)
    assert.match(metrics.headers.get('content-type') ?? '', /^text\/plain/)
    assert.match(await metrics.text(), /# TYPE sallyport_processor_lag_records gauge/)
    assert.equal((await fetch(`${url}/health/live`)).status, 200)
    const found: unknown[] = []
    for (state of ['starting', 'ready', 'draining'] as const) {
      const answer = await fetch(`${url}/health/ready`)
      found.push(answer.status, await answer.json())
    }
    assert.deepEqual(found, [
      503,
      { status: 'starting' },
      200,
      { status: 'ready' },
      503,
      { status: 'draining' },
    ])
    assert.equal((await fetch(`${url}/secrets`)).status, 404)
  })

  it('takes any request target without harm', async () => {
    const url = new URL(await listener.listen('127.0.0.1', 0))
    for (const target of ['//', 'http://[', '*', '/%', '/metrics/..']) {
      const socket = connect(Number(url.port), url.hostname)
      socket.write(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
      const [answer] = await once(socket, 'data')
      assert.match(String(answer), /^HTTP\/1\.1 404 /, target)
    }
  })

  it('says which port is taken, and which setting names it', async () => {
    const { port } = new URL(await listener.listen('127.0.0.1', 0))
    const second = new AdminListener(() => state)
    await assert.rejects(second.listen('127.0.0.1', Number(port)), {
      code: 'SP_PORT_TAKEN',
      message: new RegExp(`127\\.0\\.0\\.1:${port} .*processing\\.adminPort`),
    })
  })
})
