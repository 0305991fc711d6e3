/** `sallyport listen` as the real binary, on a real broker, with a server of the test's own at its end. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createLog } from '@sallyport/core/log'
import { provision } from '@sallyport/core/provision'
import { PROJECT_FOLDER } from 'sallyport/start/home'
import { eventOf, Topics, TRACEPARENT } from '../support/events.ts'
import { PARTITIONS, testSettings } from '../support/processor.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

const CLI = path.join(PROJECT_FOLDER, 'services/cli/src/main.ts')

interface Hook {
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

describe('sallyport listen', function () {
  this.timeout(90_000)
  const source = `listen-${randomBytes(4).toString('hex')}`
  const hooks: Hook[] = []
  let connection: { brokers: readonly string[]; registryUrl: string }
  let topics: Topics
  let server: Server
  let url: string
  let child: ChildProcess | undefined

  before(async () => {
    connection = await sharedCluster()
    const log = createLog('test')
    log.level = 'silent'
    await provision(testSettings(), connection, log)
    topics = new Topics(connection, PARTITIONS)
    await topics.connect()
    server = createServer(async (req, res) => {
      const chunks: Buffer[] = []
      for await (const chunk of req) chunks.push(chunk as Buffer)
      hooks.push({ headers: req.headers, body: Buffer.concat(chunks).toString() })
      res.writeHead(hooks.length === 1 ? 204 : 500).end()
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks`
  })
  afterEach(() => child?.kill('SIGKILL'))
  after(async () => {
    server.close()
    await topics.close()
  })

  function start(...args: string[]): {
    output: { stdout: string; stderr: string }
    exited: Promise<unknown[]>
  } {
    const { brokers, registryUrl } = connection
    const all = [CLI, 'listen', ...args, '--brokers', brokers.join(','), '--registry', registryUrl]
    const started = spawn(process.execPath, ['--no-warnings', ...all], { stdio: ['ignore', 'pipe', 'pipe'] })
    child = started
    const output = { stdout: '', stderr: '' }
    for (const stream of ['stdout', 'stderr'] as const) {
      started[stream].on('data', text => {
        output[stream] += text
      })
    }
    return { output, exited: once(started, 'close') }
  }

  it('posts the source’s events with their bytes, attributes and trace, shows what the server says, and ends at Ctrl-C', async () => {
    const { output, exited } = start(source, '--to', url, '--json')
    await until(() => output.stderr.includes('forwarding'))
    const first = eventOf(source, { n: 1 })
    await topics.append([eventOf('another', { n: 0 }), first])
    await until(() => hooks.length === 1)
    const second = eventOf(source, { n: 2 })
    await topics.append([second])
    await until(() => output.stdout.trim().split('\n').length === 2)
    assert.deepEqual(
      hooks.map(({ body }) => body),
      [first, second].map(({ body }) => body.toString()),
    )
    const { headers } = hooks[0] as Hook
    assert.equal(headers['ce-id'], first.id)
    assert.equal(headers['idempotency-key'], first.id)
    assert.equal(headers['content-type'], 'application/json')
    assert.equal(headers.traceparent, TRACEPARENT)
    const lines = output.stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
    assert.deepEqual(
      lines.map(({ id, status }) => [id, status]),
      [
        [first.id, 204],
        [second.id, 500],
      ],
    )
    child?.kill('SIGINT')
    const [code, signal] = await exited
    assert.ok(code === 130 || signal === 'SIGINT', `${code} ${signal}`)
  })

  it('says so where nobody listens at the URL, and goes on', async () => {
    const { output } = start(source, '--to', 'http://127.0.0.1:9/')
    await until(() => output.stderr.includes('forwarding'))
    await topics.append([eventOf(source, {}), eventOf(source, {})])
    await until(() => output.stdout.trim().split('\n').length === 2)
    assert.match(output.stdout, /ECONNREFUSED|bad port/)
  })

  it('wants a URL', async () => {
    const { output, exited } = start(source, '--to', 'localhost:3000')
    const [code] = await exited
    assert.equal(code, 2)
    assert.match(output.stderr, /--to is no URL/)
  })
})

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(50)
}
