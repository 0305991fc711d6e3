import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { Cluster, MissingTopicError } from '@sallyport/core/kafka/cluster'
import { PartitionLogs } from '@sallyport/core/kafka/partition-logs'
import type { ProducerCluster } from '@sallyport/core/kafka/transactions/producer-cluster'

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

  /** A cluster that has one topic, and was asked for another one that is gone. */
  function clusterOf(there: string): Cluster {
    const cluster = new Cluster({ brokers: ['unused:9092'], registryUrl: '' }, 'test', ['gone'], 10_000)
    cluster.askAny = async () => {
      await setImmediate()
      const topics = [
        { name: there, topicId: 'its id', partitions: [{ partitionIndex: 0, leaderId: 1 }] },
        { name: 'gone', topicId: 'none', partitions: [] },
      ]
      return { brokers: [], topics } as never
    }
    return cluster
  }

  it('says of a topic what it is, although another one that was asked for is gone (C4)', async () => {
    const cluster = clusterOf('there')
    const logs = new PartitionLogs(cluster as unknown as ProducerCluster)
    await assert.rejects(cluster.refresh(), MissingTopicError)
    assert.deepEqual([...(await logs.topicIds(['there']))], [['there', 'its id']])
    await assert.rejects(logs.topicIds(['gone']), { code: 'SP_BROKER_UNREACHABLE' })
  })

  it('is asked again for a topic that the request under way does not ask for (C3)', async () => {
    const cluster = clusterOf('there')
    const first = cluster.refresh()
    const second = cluster.refresh(['there'])
    assert.notEqual(second, first)
    assert.equal(cluster.refresh(['gone']), first)
    await assert.rejects(second, MissingTopicError)
    assert.equal(cluster.leaderOf('there', 0), 1)
    await assert.rejects(first, MissingTopicError)
  })
})
