/** The parts of the tests' Kafka proxy that need no broker. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { Writer } from '@platformatic/kafka'
import { shiftAppendTimes, withShiftedTimes } from '../support/kafka-proxy/append-times.ts'
import { frames, send } from '../support/kafka-proxy/frames.ts'
import { KafkaProxy } from '../support/kafka-proxy/kafka-proxy.ts'
import { type Deed, randomRule } from '../support/kafka-proxy/random-rule.ts'
import { type KafkaRequest, readRequest } from '../support/kafka-proxy/request.ts'
import { ofApi, type Treatment, untouched } from '../support/kafka-proxy/rule.ts'

const API_KEYS = { Produce: 0, AddPartitionsToTxn: 24, EndTxn: 26, WriteTxnMarkers: 27, Fetch: 1 }
const NOTHING = { epoch: undefined, commits: undefined, partitions: [] }

function request(api: keyof typeof API_KEYS, version: number, body: Writer, flexible = true): KafkaRequest {
  const header = Writer.create()
    .appendInt16(API_KEYS[api])
    .appendInt16(version)
    .appendInt32(7)
    .appendString('somebody', false)
  if (flexible) header.appendTaggedFields()
  const bytes = Buffer.concat([header.dynamicBuffer.slice(), body.dynamicBuffer.slice()])
  const length = Buffer.alloc(4)
  length.writeInt32BE(bytes.length)
  return readRequest(Buffer.concat([length, bytes]), { broker: 0, from: 'client' })
}

describe('what the proxy reads of a request', () => {
  const topics = (w: Writer) =>
    w.appendArray(['orders'], (w, topic) =>
      w.appendString(topic).appendArray([2, 5], (w, partition) => w.appendInt32(partition), true, false),
    )

  it('EndTxn as old and as new clients write it', () => {
    const old = Writer.create().appendString('t', false).appendInt64(9n).appendInt16(3).appendBoolean(true)
    const now = Writer.create().appendString('t').appendInt64(9n).appendInt16(3).appendBoolean(true)
    const transactions = [{ ...NOTHING, transactionalId: 't', producerId: 9n, epoch: 3, commits: true }]
    const { frame, ...read } = request('EndTxn', 5, now.appendTaggedFields())
    assert.deepEqual(read, {
      api: 'EndTxn',
      version: 5,
      correlationId: 7,
      clientId: 'somebody',
      broker: 0,
      from: 'client',
      transactions,
    })
    assert.deepEqual(request('EndTxn', 1, old, false).transactions, transactions)
  })

  it('AddPartitionsToTxn of a client, and the one in which a broker asks about several', () => {
    const one = {
      ...NOTHING,
      transactionalId: 't',
      producerId: 9n,
      epoch: 3,
      partitions: ['orders/2', 'orders/5'],
    }
    const alone = topics(
      Writer.create().appendString('t').appendInt64(9n).appendInt16(3),
    ).appendTaggedFields()
    assert.deepEqual(request('AddPartitionsToTxn', 3, alone).transactions, [one])
    const many = Writer.create().appendArray(['t', 'u'], (w, id) => {
      topics(w.appendString(id).appendInt64(9n).appendInt16(3).appendBoolean(true))
    })
    assert.deepEqual(request('AddPartitionsToTxn', 5, many.appendTaggedFields()).transactions, [
      one,
      { ...one, transactionalId: 'u' },
    ])
  })

  it('WriteTxnMarkers of both versions', () => {
    for (const version of [1, 2]) {
      const markers = Writer.create().appendArray([1n, 2n], (w, id) => {
        topics(
          w
            .appendInt64(id)
            .appendInt16(4)
            .appendBoolean(id === 1n),
        ).appendInt32(11)
        if (version === 2) w.appendInt8(2)
      })
      const of = { ...NOTHING, transactionalId: undefined, epoch: 4, partitions: ['orders/2', 'orders/5'] }
      assert.deepEqual(request('WriteTxnMarkers', version, markers.appendTaggedFields()).transactions, [
        { ...of, producerId: 1n, commits: true },
        { ...of, producerId: 2n, commits: false },
      ])
    }
  })

  it('a Produce by name and by id, with the producer of its batches', () => {
    const batch = Buffer.alloc(61)
    batch.writeBigInt64BE(9n, 43)
    batch.writeInt16BE(3, 51)
    const body = (topic: (w: Writer) => Writer) =>
      Writer.create()
        .appendString('t')
        .appendInt16(-1)
        .appendInt32(1_000)
        .appendArray([0], w => {
          topic(w).appendArray([4], (w, partition) => w.appendInt32(partition).appendBytes(batch))
        })
        .appendTaggedFields()
    const id = 'c0ffee00-0000-4000-8000-000000000001'
    const of = { transactionalId: 't', producerId: 9n, epoch: 3, commits: undefined }
    const named = request(
      'Produce',
      12,
      body(w => w.appendString('orders')),
    )
    const byId = request(
      'Produce',
      13,
      body(w => w.appendUUID(id)),
    )
    assert.deepEqual(named.transactions, [{ ...of, partitions: ['orders/4'] }])
    assert.deepEqual(byId.transactions, [{ ...of, partitions: [`${id}/4`] }])
  })

  it('nothing of a body that is cut off or that is no transaction', () => {
    assert.deepEqual(request('EndTxn', 5, Writer.create().appendString('t')).transactions, [])
    assert.deepEqual(request('Fetch', 17, Writer.create()).transactions, [])
  })
})

describe('a broker whose clock is off, as the proxy shows it', () => {
  /** An answer to Produce for two partitions, of which the second has no time of append. */
  function answer(version: number, timeMs: bigint): Buffer {
    const isCompact = version >= 9
    const body = Writer.create().appendInt32(7)
    if (isCompact) body.appendTaggedFields()
    body
      .appendArray(
        ['orders'],
        (w, topic) => {
          w.appendString(topic, isCompact).appendArray(
            [timeMs, -1n],
            (w, time) => {
              w.appendInt32(4).appendInt16(0).appendInt64(99n).appendInt64(time).appendInt64(3n)
              if (version < 8) return
              const appendError = (w: Writer) => w.appendInt32(1).appendString('why', isCompact)
              w.appendArray([1], appendError, isCompact, isCompact).appendString(null, isCompact)
            },
            isCompact,
            isCompact,
          )
        },
        isCompact,
        isCompact,
      )
      .appendInt32(0)
    if (isCompact) body.appendTaggedFields()
    const length = Buffer.alloc(4)
    length.writeInt32BE(body.length)
    return Buffer.concat([length, body.dynamicBuffer.slice()])
  }

  for (const version of [7, 8, 9, 12]) {
    it(`tells another time in answers of version ${version}, and everything else as it is`, () => {
      assert.deepEqual(
        withShiftedTimes(answer(version, 1_000n), { version }, 90_000),
        answer(version, 91_000n),
      )
    })
  }

  it('does so to answers of the broker that is meant, to records alone', () => {
    const rule = shiftAppendTimes(({ broker }) => broker === 1, 90_000)
    const of = (api: string, broker: number) => rule({ api, broker, version: 12 } as KafkaRequest)
    assert.deepEqual([of('Produce', 0), of('EndTxn', 1)], [undefined, undefined])
    const { rewrite } = of('Produce', 1) as Treatment
    assert.deepEqual(rewrite?.(answer(12, 1_000n)), answer(12, 91_000n))
  })
})

describe('an answer on its way through the proxy', () => {
  it('reaches the client as the rule of its request rewrites it, and others as they are (L5)', async () => {
    // The broker answers each request with its correlation id and a zero.
    const proxy = await KafkaProxy.start(1)
    const broker = createServer(async socket => {
      for await (const frame of frames(socket)) {
        const answer = Buffer.alloc(12)
        answer.writeInt32BE(8)
        frame.copy(answer, 4, 8, 12)
        await send(socket, answer)
      }
    }).listen(proxy.listeners[0]?.[0]?.port, '127.0.0.1')
    await once(broker, 'listening')
    const [host, port] = (proxy.brokers[0] as string).split(':')
    const client = connect(Number(port), host)
    const answers = frames(client)
    const answerTo = async (api: 'Produce' | 'EndTxn') => {
      await send(client, request(api, 12, Writer.create()).frame)
      return (await answers.next()).value as Buffer
    }
    const rewrite = (answer: Buffer) => Buffer.from(answer).fill(1, 8)
    try {
      proxy.use(({ api }) => (api === 'Produce' ? { rewrite } : undefined))
      assert.equal((await answerTo('Produce')).readInt32BE(8), 0x01010101)
      assert.equal((await answerTo('EndTxn')).readInt32BE(8), 0)
      proxy.use(untouched)
      assert.equal((await answerTo('Produce')).readInt32BE(8), 0)
    } finally {
      client.destroy()
      await proxy.stop()
      broker.close()
    }
  })
})

describe('what happens to requests by chance', () => {
  async function deeds(seed: number, others: boolean): Promise<string[]> {
    const done: string[] = []
    const copied: KafkaRequest[] = []
    const rule = randomRule(seed, {
      matches: ofApi('EndTxn', 'AddPartitionsToTxn'),
      percent: { delay: 10, overtake: 10, duplicate: 10, drop: 10, cut: 10 },
      delayMsMax: 2,
      copyMsMax: 2,
      sendAgain: async request => {
        copied.push(request)
        return Buffer.alloc(0)
      },
      onDeed: (deed: Deed, { api, correlationId }) => {
        if (api === 'EndTxn') done.push(`${correlationId} ${deed}`)
      },
    })
    const end = (api: string, correlationId: number) =>
      ({ api, correlationId, transactions: [] }) as unknown as KafkaRequest
    for (let n = 1; n <= 200; n++) {
      await rule(end('EndTxn', n))
      if (others) await rule(end('AddPartitionsToTxn', n))
      assert.equal(await rule(end('Fetch', n)), undefined)
    }
    return done
  }

  it('follows from the seed, whatever else passes meanwhile', async () => {
    const done = await deeds(1, false)
    assert.deepEqual(await deeds(1, true), done)
    assert.notDeepEqual(await deeds(2, false), done)
  })

  it('comes about as often as asked for', async () => {
    const done = await deeds(3, false)
    assert.ok(done.length > 70 && done.length < 130, `${done.length} of 200`)
    assert.equal(new Set(done.map(text => text.split(' ')[1])).size, 5)
  })
})
