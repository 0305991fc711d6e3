/** `sallyport listen` as the real binary, on a real broker, with a server of the test's own at its end. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createLog } from '@sallyport/core/log'
import { provision } from '@sallyport/core/provision'
import { Cli, jsonLines, type Running } from '../support/cli.ts'
import { eventOf, Topics, TRACEPARENT } from '../support/events.ts'
import { PARTITIONS, testSettings } from '../support/processor.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { waitFor } from '../support/wait-for.ts'

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
  let running: Running | undefined

  before(async () => {
    connection = await sharedCluster()
    const log = createLog('test')
    log.level = 'silent'
    await provision(testSettings(), connection, log)
    topics = new Topics(connection, PARTITIONS)
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
  afterEach(() => running?.child.kill('SIGKILL'))
  after(async () => {
    server.close()
    await topics.close()
  })

  function start(...args: string[]): Running {
    running = new Cli(connection).start(['listen', ...args])
    return running
  }

  it('posts the source’s events with their bytes, attributes and trace, shows what the server says, and ends at Ctrl-C', async () => {
    const listening = start(source, '--to', url, '--json')
    await listening.prints('forwarding', 'stderr')
    const first = eventOf(source, { n: 1 })
    await topics.append([eventOf('another', { n: 0 }), first])
    await waitFor(() => hooks.length === 1)
    const second = eventOf(source, { n: 2 })
    await topics.append([second])
    await listening.prints(/\n.*\n/)
    assert.deepEqual(
      hooks.map(({ body }) => body),
      [first, second].map(({ body }) => body.toString()),
    )
    const { headers } = hooks[0] as Hook
    assert.equal(headers['ce-id'], first.id)
    assert.equal(headers['idempotency-key'], first.id)
    assert.equal(headers['content-type'], 'application/json')
    assert.equal(headers.traceparent, TRACEPARENT)
    assert.deepEqual(
      jsonLines(listening.stdout).map(({ id, status }) => [id, status]),
      [
        [first.id, 204],
        [second.id, 500],
      ],
    )
    listening.child.kill('SIGINT')
    assert.equal((await listening.ended).code, 'SIGINT')
  })

  it('says so where nobody listens at the URL, and goes on', async () => {
    const listening = start(source, '--to', 'http://127.0.0.1:9/')
    await listening.prints('forwarding', 'stderr')
    await topics.append([eventOf(source, {}), eventOf(source, {})])
    await listening.prints(/\n.*\n/)
    assert.match(listening.stdout, /ECONNREFUSED|bad port/)
  })

  it('wants a URL', async () => {
    const { code, stderr } = await start(source, '--to', 'localhost:3000').ended
    assert.equal(code, 2)
    assert.match(stderr, /--to is no URL/)
  })
})
