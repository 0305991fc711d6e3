/** Defects of kafkajs that stopped processes. Each test states its setup, its timeline, and what it proves. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import '@sallyport/core/kafka/client'

const require = createRequire(import.meta.url)
/** Kafka's codes. */
const UNKNOWN_TOPIC = 3
const LEADER_NOT_AVAILABLE = 5

describe('kafkajs, as this product loads it', function () {
  this.timeout(30_000)

  it('a consumer that is stopped just when a broker has gone leaves the process alive', async () => {
    // Setup: kafkajs's runner with two brokers' fetchers, in a thread of its own. Timeline: a broker goes; one fetcher
    // notices; the manager waits for the other one's answer before it makes fetchers anew; the runner is told to stop;
    // the answer comes. Proves: the runner stops, and its thread's event loop goes on. Processors whose broker was
    // killed used to stand still for ever, SIGTERM or not.
    const worker = new Worker(new URL('../support/stopped-runner.ts', import.meta.url))
    try {
      const said = once(worker, 'message').then(([word]) => word)
      assert.equal(
        await Promise.race([said, sleep(10_000, 'the thread stands still', { ref: false })]),
        'stopped',
      )
    } finally {
      await worker.terminate()
    }
  })

  it('a connection that broke off in the middle of an answer begins anew', async () => {
    // Setup: a broker that dies while it writes its first answer. Timeline: the connection ends behind ten of a
    // hundred bytes; it is connected again; the broker answers in full. Proves: the answer is read from its beginning.
    // The ten bytes used to be taken for its start, and then everything was out of step.
    const sockets: Socket[] = []
    const server = createServer(socket => {
      sockets.push(socket)
      const isFirst = sockets.length === 1
      socket.on('data', request => {
        const correlationId = request.subarray(8, 12)
        if (isFirst) socket.end(Buffer.concat([int32(100), correlationId, Buffer.from('half..')]))
        else socket.write(Buffer.concat([int32(9), correlationId, Buffer.from('whole')]))
      })
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const connection = connectionTo(port)
    try {
      await connection.connect()
      await assert.rejects(connection.send(QUESTION), /Closed connection/)
      await connection.connect()
      const answer = connection.send(QUESTION)
      const late = sleep(5_000, 'no answer', { ref: false })
      assert.equal(String(await Promise.race([answer, late])), 'whole')
    } finally {
      for (const socket of sockets) socket.destroy()
      server.close()
    }
  })

  describe('a connection’s queue of requests', () => {
    const sockets: Socket[] = []
    const server = createServer(socket => {
      sockets.push(socket)
      socket.on('data', request => {
        socket.write(Buffer.concat([int32(9), request.subarray(8, 12), Buffer.from('whole')]))
      })
    })
    let port: number

    before(async () => {
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      port = (server.address() as AddressInfo).port
    })
    after(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })

    it('runs no timer while nothing waits and nothing is under way', async () => {
      // Setup: a connection with an answered request. Timeline: nothing is sent for a while. Proves: nobody looks for
      // requests that wait, and nobody for those that are overdue. The first timer ran every millisecond, for ever.
      const connection = connectionTo(port)
      await connection.connect()
      await connection.send(QUESTION)
      const queue = connection.requestQueue
      let looks = 0
      const { checkPendingRequests } = queue
      queue.checkPendingRequests = () => {
        looks++
        checkPendingRequests.call(queue)
      }
      await sleep(200)
      assert.equal(looks, 0)
      assert.equal(queue.throttleCheckTimeoutId, null)
      assert.equal(queue.requestTimeoutIntervalId, undefined)
      await connection.disconnect()
    })

    it('sends what waited as soon as the broker’s quota allows it', async () => {
      // Setup: a connection whose broker asks for a pause. Timeline: a request comes during it. Proves: it waits, and is
      // sent behind the pause although nothing else happens on the connection.
      const connection = connectionTo(port)
      await connection.connect()
      const startedAt = performance.now()
      connection.requestQueue.maybeThrottle(150)
      assert.equal(String(await connection.send(QUESTION)), 'whole')
      assert.ok(performance.now() - startedAt >= 149)
      await connection.disconnect()
    })
  })

  it('a broker that is away for long leaves no listeners behind', async () => {
    // Setup: a broker’s two connections, of which kafkajs fetches with the second. Timeline: the broker dies; it is tried
    // again and again, and each failure disconnects both. Proves: no dead socket gathers listeners. Each attempt added
    // one, and the eleventh wrote a MaxListenersExceededWarning to standard error.
    const sockets: Socket[] = []
    const server = createServer(socket => sockets.push(socket)).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const ConnectionPool = require('kafkajs/src/network/connectionPool.js')
    const pool = new ConnectionPool(optionsTo(port))
    const [first, second] = [await pool.getConnection(0), await pool.getConnection(1)]
    const warnings: string[] = []
    const onWarning = ({ name, message }: Error) => warnings.push(`${name}: ${message}`)
    process.on('warning', onWarning)
    try {
      const gone = Promise.all([first, second].map(({ socket }) => once(socket, 'close')))
      for (const socket of sockets) socket.destroy()
      server.close()
      await gone
      for (let i = 0; i < 12; i++) {
        await assert.rejects(pool.getConnection(0), { name: 'KafkaJSConnectionError' })
        await Promise.all([pool.destroy(), pool.destroy()])
      }
      await sleep(10)
      assert.deepEqual(warnings, [])
    } finally {
      process.off('warning', onWarning)
    }
  })

  describe('metadata in which a partition has no leader', () => {
    const partition = (partitionId: number, leader: number, partitionErrorCode = 0) => ({
      partitionId,
      leader,
      partitionErrorCode,
    })
    const metadata = {
      brokers: [{ nodeId: 1, host: '127.0.0.1', port: 1 }],
      topicMetadata: [
        { topicErrorCode: 0, topic: 'whole', partitionMetadata: [partition(0, 1)] },
        {
          topicErrorCode: 0,
          topic: 'lacking',
          partitionMetadata: [partition(0, 1), partition(1, -1, LEADER_NOT_AVAILABLE)],
        },
      ],
    }

    it('is read in every version; another error is still one', async () => {
      // Setup: an answer with two topics, of which one partition has no leader. Proves: the answer is used. It was
      // thrown away as a whole, and asked for again until nobody wanted it any more.
      for (let version = 0; version <= 6; version++) {
        const { parse } = require(`kafkajs/src/protocol/requests/metadata/v${version}/response.js`)
        assert.deepEqual(await parse(metadata), metadata)
        const topicMetadata = [{ ...metadata.topicMetadata[0], topicErrorCode: UNKNOWN_TOPIC }]
        await assert.rejects(parse({ ...metadata, topicMetadata }), { type: 'UNKNOWN_TOPIC_OR_PARTITION' })
      }
    })

    it('is asked for again within a second, and offsets of the partitions that are led are found', async () => {
      // Setup: a cluster that gets that answer. Timeline: metadata, then offsets are asked for. Proves: the metadata holds
      // for a second, not for five minutes; of the partition without a leader nobody is asked, and its offset is
      // unknown.
      const Cluster = require('kafkajs/src/cluster/index.js')
      const cluster = new Cluster({ ...optionsTo(1), brokers: ['127.0.0.1:1'], metadataMaxAge: 300_000 })
      const asked: unknown[] = []
      const broker = {
        isConnected: () => true,
        metadata: async () => metadata,
        listOffsets: async ({
          topics,
        }: {
          topics: { topic: string; partitions: { partition: number }[] }[]
        }) => {
          asked.push(topics.map(({ topic, partitions }) => [topic, partitions.map(one => one.partition)]))
          const found = topics.map(({ topic, partitions }) => ({
            topic,
            partitions: partitions.map(({ partition }) => ({ partition, offset: '7' })),
          }))
          return { responses: found }
        },
      }
      const pool = cluster.brokerPool
      pool.seedBroker = { connectionPool: { host: 'seed', port: 9 } }
      pool.brokers = { 1: { ...broker, connectionPool: { host: '127.0.0.1', port: 1 } } }
      await cluster.addMultipleTargetTopics(['whole', 'lacking'])
      const holdsMs = pool.metadataExpireAt - Date.now()
      assert.ok(holdsMs <= 1_000, `${holdsMs} ms`)
      const offsets = await cluster.fetchTopicsOffset(
        ['whole', 'lacking'].map(topic => ({
          topic,
          fromBeginning: false,
          partitions: cluster
            .findTopicPartitionMetadata(topic)
            .map(({ partitionId }: { partitionId: number }) => ({ partition: partitionId })),
        })),
      )
      assert.deepEqual(asked, [
        [
          ['whole', [0]],
          ['lacking', [0]],
        ],
      ])
      assert.deepEqual(offsets, [
        { topic: 'whole', partitions: [{ partition: 0, offset: '7' }] },
        {
          topic: 'lacking',
          partitions: [
            { partition: 0, offset: '7' },
            { partition: 1, offset: '-1' },
          ],
        },
      ])
    })
  })

  describe('a broker that hangs, its port open', () => {
    const sockets: Socket[] = []
    // It takes what it is sent and never answers, until it is told to.
    let answers = false
    const server = createServer(socket => {
      sockets.push(socket)
      socket.on('data', request => {
        if (answers) socket.write(Buffer.concat([int32(9), request.subarray(8, 12), Buffer.from('whole')]))
      })
    })

    before(async () => {
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
    })
    after(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    beforeEach(() => {
      answers = false
    })

    function hungConnection() {
      return connectionTo((server.address() as AddressInfo).port, 300)
    }

    it('loses its connection with the first request that times out, and all that wait learn of it', async () => {
      // Setup: a broker that never answers. Timeline: a request is sent; half its time later another one; the first
      // one times out; the broker wakes up; the connection is connected again. Proves: both requests end with the
      // error that makes kafkajs ask who leads now, and the new connection works. Each used to end with a time-out
      // of its own, the connection stayed, and so did the belief that this broker leads.
      const connection = hungConnection()
      await connection.connect()
      const [socket] = sockets.slice(-1)
      const closed = { name: 'KafkaJSConnectionClosedError', host: '127.0.0.1', port: connection.port }
      const first = assert.rejects(connection.send(QUESTION), closed)
      await sleep(150)
      const second = assert.rejects(connection.send(QUESTION), closed)
      await Promise.all([first, second])
      assert.equal(connection.isConnected(), false)
      if (!socket?.closed) await once(socket as Socket, 'close')
      answers = true
      await connection.connect()
      assert.equal(String(await connection.send(QUESTION)), 'whole')
      await connection.disconnect()
    })

    it('is asked for no further heartbeat once its connection is closed: the group has another coordinator', async () => {
      // Setup: a member of a group whose coordinator hangs. Timeline: a heartbeat ends with the closed connection; the
      // next one is due. Proves: that broker is struck off, and the next heartbeat goes to whoever coordinates now, as
      // do commits. It used to go to the same broker, until the consumer gave up after twelve more.
      const ConsumerGroup = require('kafkajs/src/consumer/consumerGroup.js')
      const { KafkaJSConnectionClosedError } = require('kafkajs/src/errors.js')
      const gone = { host: 'h', port: 1 }
      const asked: string[] = []
      const group = new ConsumerGroup({
        logger: silent,
        instrumentationEmitter: { emit() {} },
        groupId: 'g',
        cluster: {
          removeBroker: ({ host, port }: typeof gone) => asked.push(`strikes ${host}:${port} off`),
          findGroupCoordinator: async () => ({ heartbeat: async () => asked.push('the new one') }),
        },
      })
      group.memberId = 'm'
      group.offsetManager = {}
      group.coordinator = {
        async heartbeat() {
          asked.push('the old one')
          throw new KafkaJSConnectionClosedError('Closed connection', gone)
        },
      }
      await assert.rejects(group.heartbeat({ interval: 0 }), { name: 'KafkaJSConnectionClosedError' })
      await group.heartbeat({ interval: 0 }).catch(() => {})
      assert.equal(group.offsetManager.coordinator, group.coordinator)
      assert.deepEqual(asked, ['the old one', 'strikes h:1 off', 'the new one'])
    })

    it('counts as one that cannot be connected to where it does not answer the first question', async () => {
      // Setup: a broker that never answers. Timeline: kafkajs asks what it asks before all else. Proves: the error is
      // the one for which kafkajs takes the next broker of its list. It used to ask the same one, 33 times.
      const connection = hungConnection()
      await connection.connect()
      const question = { ...QUESTION, request: { ...QUESTION.request, apiKey: 18, apiName: 'ApiVersions' } }
      await assert.rejects(connection.send(question), { name: 'KafkaJSConnectionError' })
      assert.equal(connection.isConnected(), false)
    })

    it('keeps its connection while an earlier request may rightfully take longer', async () => {
      // Setup: a broker that does not answer yet. Timeline: a request with a long time of its own, as joining a group
      // has; one behind it, which times out; the broker answers. Proves: the first one is not lost to the second.
      const connection = hungConnection()
      await connection.connect()
      const join = connection.send({ ...QUESTION, requestTimeout: 60_000 })
      await sleep(10)
      await assert.rejects(connection.send(QUESTION), { name: 'KafkaJSRequestTimeoutError' })
      sockets.at(-1)?.write(Buffer.concat([int32(9), int32(0), Buffer.from('whole')]))
      assert.equal(String(await join), 'whole')
      await connection.disconnect()
    })
  })
})

const silent = { namespace: () => silent, debug() {}, info() {}, warn() {}, error() {} }

function optionsTo(port: number, requestTimeout = 20_000) {
  const createSocketFactory = require('kafkajs/src/network/socketFactory.js')
  return {
    host: '127.0.0.1',
    port,
    logger: silent,
    socketFactory: createSocketFactory(),
    requestTimeout,
    enforceRequestTimeout: true,
    connectionTimeout: 1_000,
  }
}

function connectionTo(port: number, requestTimeout = 20_000) {
  const Connection = require('kafkajs/src/network/connection.js')
  return new Connection(optionsTo(port, requestTimeout))
}

const Encoder = require('kafkajs/src/protocol/encoder.js')
/** A request without a body, whose answer is taken as it is. */
const QUESTION = {
  request: { apiKey: 0, apiVersion: 0, apiName: 'Question', encode: async () => new Encoder() },
  response: {
    decode: async (payload: Buffer) => payload,
    parse: async (payload: Buffer) => payload,
  },
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
