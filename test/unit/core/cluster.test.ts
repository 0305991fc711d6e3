import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { Cluster } from '@sallyport/core/kafka/cluster'

describe('what a publisher knows of the cluster', () => {
  const brokers: { server: Server; sockets: Socket[] }[] = []

  /** A broker that takes connections and never answers. */
  async function hangingBroker(): Promise<string> {
    const sockets: Socket[] = []
    const server = createServer(socket => {
      sockets.push(socket.on('error', () => {}))
      socket.resume()
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    brokers.push({ server, sockets })
    return `127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  afterEach(() => {
    for (const { server, sockets } of brokers.splice(0)) {
      for (const socket of sockets) socket.destroy()
      server.close()
    }
  })

  it('is asked of one broker after the other, so that one that hangs is not asked twice in a row (C2), by one request at a time (C3)', async function () {
    this.timeout(15_000)
    const addresses = [await hangingBroker(), await hangingBroker()]
    const cluster = new Cluster({ brokers: addresses, registryUrl: '' }, 'test', ['topic'], 10_000)
    try {
      for (const asked of [
        [1, 0],
        [1, 1],
      ]) {
        const first = cluster.refresh()
        assert.equal(cluster.refresh(), first)
        await assert.rejects(first, /does not answer/)
        assert.deepEqual(
          brokers.map(({ sockets }) => sockets.length),
          asked,
        )
      }
    } finally {
      await cluster.close()
    }
  })
})
