/** Defects of kafkajs that stopped processes. Each test states its setup, its timeline, and what it proves. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import '@sallyport/core/kafka/client'

const require = createRequire(import.meta.url)

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

function connectionTo(port: number, requestTimeout = 20_000) {
  const Connection = require('kafkajs/src/network/connection.js')
  const createSocketFactory = require('kafkajs/src/network/socketFactory.js')
  return new Connection({
    host: '127.0.0.1',
    port,
    logger: silent,
    socketFactory: createSocketFactory(),
    requestTimeout,
    connectionTimeout: 1_000,
  })
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
