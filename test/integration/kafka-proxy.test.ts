/** The proxy of the torn transactions' tests, on a real broker. The numbers are the invariants at the top of link.ts. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs from 'kafkajs'
import { readTopic } from '../chaos/processor/topic-log.ts'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { KafkaProxy } from '../support/kafka-proxy/kafka-proxy.ts'
import type { KafkaRequest } from '../support/kafka-proxy/request.ts'
import {
  cut,
  delay,
  dropAnswer,
  duplicate,
  lose,
  nth,
  ofApi,
  overtake,
  type Rule,
  together,
  untouched,
} from '../support/kafka-proxy/rule.ts'
import { coordinatorOf, rawKafka, rawTransactionalProducer } from '../support/raw-kafka.ts'
import { freshTopic } from '../support/topic.ts'
import { waitFor } from '../support/wait-for.ts'

const GROUP = 'group-of-the-proxy'

describe('the proxy between clients and brokers', function () {
  this.timeout(60_000)
  let cluster: Cluster
  let proxy: KafkaProxy
  let kafka: kafkajs.Kafka
  let topic: string
  const producers: kafkajs.Producer[] = []

  before(async function () {
    this.timeout(150_000)
    proxy = await KafkaProxy.start(1, { betweenBrokers: true })
    cluster = await startCluster({ brokers: 1, moreListeners: proxy.listeners, withRegistry: false })
    kafka = new kafkajs.Kafka({
      brokers: proxy.brokers,
      logLevel: kafkajs.logLevel.NOTHING,
      requestTimeout: 1_500,
      retry: { initialRetryTime: 5, retries: 10 },
    })
    await coordinatorOf(rawKafka(cluster.brokers), GROUP)
  })
  after(async () => {
    await cluster?.stop()
    await proxy?.stop()
  })
  beforeEach(async () => {
    topic = await freshTopic(cluster.brokers, 1)
  })
  afterEach(async () => {
    proxy.use(untouched)
    for (const producer of producers.splice(0)) await producer.disconnect()
  })

  async function connected(): Promise<kafkajs.Producer> {
    const producer = kafka.producer({ retry: { retries: 0 } })
    await producer.connect()
    producers.push(producer)
    return producer
  }

  async function values(): Promise<string[]> {
    return (await readTopic(cluster.brokers, topic, 1, true)).records.map(({ value }) => String(value))
  }

  function seeing(seen: KafkaRequest[]): Rule {
    return request => {
      seen.push(request)
      return undefined
    }
  }

  const sendOne = (producer: kafkajs.Producer, value: string) =>
    producer.send({ topic, messages: [{ value }] })

  it('clients that begin at the proxy stay there: leaders and coordinators have its address', async () => {
    const seen: KafkaRequest[] = []
    proxy.use(seeing(seen))
    const producer = await rawTransactionalProducer(kafka, `stays-${topic}`)
    producers.push(producer)
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: [{ partition: 0, value: 'a' }] })
    await transaction.sendOffsets({
      consumerGroupId: GROUP,
      topics: [{ topic, partitions: [{ partition: 0, offset: '0' }] }],
    })
    await transaction.commit()
    const apis = new Set(seen.filter(({ from }) => from === 'client').map(({ api }) => api))
    for (const api of [
      'Metadata',
      'FindCoordinator',
      'InitProducerId',
      'AddPartitionsToTxn',
      'Produce',
      'AddOffsetsToTxn',
      'TxnOffsetCommit',
      'EndTxn',
    ]) {
      assert.ok(apis.has(api), `${api} went past the proxy`)
    }
  })

  it('it knows whose transaction a request belongs to, and the markers that brokers write', async () => {
    const seen: KafkaRequest[] = []
    proxy.use(seeing(seen))
    const transactionalId = `known-${topic}`
    const producer = await rawTransactionalProducer(kafka, transactionalId)
    producers.push(producer)
    for (const end of ['commit', 'abort'] as const) {
      const transaction = await producer.transaction()
      await transaction.send({ topic, messages: [{ partition: 0, value: end }] })
      await transaction[end]()
    }
    const told = (api: string, from: KafkaRequest['from'] = 'client') =>
      seen
        .filter(request => request.api === api && request.from === from)
        .flatMap(({ transactions }) => transactions)
    const [added] = told('AddPartitionsToTxn')
    assert.ok(added?.producerId !== undefined)
    const { producerId, epoch } = added
    const of = { transactionalId, producerId, epoch, commits: undefined, partitions: [] }
    const partitions = [`${topic}/0`]
    assert.deepEqual(added, { ...of, partitions })
    assert.deepEqual(told('Produce')[0], { ...of, partitions })
    assert.deepEqual(told('EndTxn'), [
      { ...of, commits: true },
      { ...of, commits: false },
    ])
    const verified = told('AddPartitionsToTxn', 'broker').filter(
      ({ transactionalId: id }) => id === transactionalId,
    )
    assert.deepEqual(verified[0], { ...of, partitions })
    assert.equal(told('InitProducerId')[0]?.transactionalId, transactionalId)
    await waitFor(
      () => told('WriteTxnMarkers', 'broker').filter(marker => marker.producerId === producerId).length === 2,
    )
    assert.deepEqual(
      told('WriteTxnMarkers', 'broker').filter(marker => marker.producerId === producerId),
      [
        { ...of, transactionalId: undefined, commits: true, partitions },
        { ...of, transactionalId: undefined, commits: false, partitions },
      ],
    )
  })

  /** Two records on one connection, in the order in which kafkajs sent them. */
  async function sendTwo(producer: kafkajs.Producer, rule: Rule): Promise<string[]> {
    const sent: string[] = []
    const note: Rule = ({ api, frame }) => {
      if (api === 'Produce') sent.push(frame.includes('first of two') ? 'first of two' : 'second of two')
      return undefined
    }
    await sendOne(producer, 'before')
    proxy.use(together(note, rule))
    await Promise.all([sendOne(producer, 'first of two'), sendOne(producer, 'second of two')])
    return sent
  }

  it('L1: a delayed request keeps its place before those behind it', async () => {
    const sent = await sendTwo(await connected(), delay(nth(1, ofApi('Produce')), 300))
    assert.equal(sent.length, 2)
    assert.deepEqual(await values(), ['before', ...sent])
  })

  it('a request that is set aside comes after those behind it, and is answered', async () => {
    const sent = await sendTwo(await connected(), overtake(nth(1, ofApi('Produce')), 300))
    assert.equal(sent.length, 2)
    assert.deepEqual(await values(), ['before', ...sent.reverse()])
  })

  it('L3: a copy comes later, after requests that the client sent since, and its answer goes to nobody', async () => {
    const producer = await connected()
    proxy.use(duplicate(nth(1, ofApi('Produce')), 200, proxy.sendAgain))
    await sendOne(producer, 'a')
    await sendOne(producer, 'b')
    await sleep(400)
    await sendOne(producer, 'c')
    assert.deepEqual(await values(), ['a', 'b', 'a', 'c'])
  })

  it('an answer that is dropped leaves the client in the dark about what the broker did', async () => {
    const producer = await connected()
    proxy.use(dropAnswer(ofApi('Produce')))
    await assert.rejects(sendOne(producer, 'a'), /timed out/)
    assert.deepEqual(await values(), ['a'])
  })

  it('a connection that is cut leaves the client in the dark about what the broker did', async () => {
    const producer = await connected()
    proxy.use(cut(ofApi('Produce')))
    await assert.rejects(sendOne(producer, 'a'), /Closed connection/)
    await sleep(100)
    assert.deepEqual(await values(), ['a'])
  })

  it('a request that is lost never reaches the broker', async () => {
    const producer = await connected()
    proxy.use(lose(ofApi('Produce')))
    await assert.rejects(sendOne(producer, 'a'), /Closed connection/)
    await sleep(100)
    assert.deepEqual(await values(), [])
  })

  it('L2: what a client sent before it went still reaches the broker', async () => {
    const producer = await connected()
    proxy.use(together(delay(ofApi('Produce'), 2_000)))
    // It gives up and closes its connection after 1.5 s.
    await assert.rejects(sendOne(producer, 'late'), /timed out/)
    await producer.disconnect()
    assert.deepEqual(await values(), [])
    await sleep(1_000)
    assert.deepEqual(await values(), ['late'])
  })

  it('cuts off what does not speak the protocol', async () => {
    const socket = connect(Number(proxy.brokers[0]?.split(':')[1]), '127.0.0.1')
    socket.write('GET / HTTP/1.1\r\n\r\n')
    await new Promise(resolve => socket.once('close', resolve))
  })

  it('a rule that fails is told by stop()', async () => {
    const other = await KafkaProxy.start(1)
    other.use(() => {
      throw new Error('a mistake in a rule')
    })
    const socket = connect(Number(other.brokers[0]?.split(':')[1]), '127.0.0.1')
    socket.write(Buffer.from([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff]))
    await new Promise(resolve => socket.once('close', resolve))
    await assert.rejects(other.stop(), /a mistake in a rule/)
  })
})
