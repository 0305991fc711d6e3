/** Reads partitions that hold everything a reader may meet: aborted transactions, markers, gaps, lost beginnings. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { append } from '@sallyport/core/kafka/append'
import { PartitionReader } from '@sallyport/core/kafka/partition-reader'
import { ProducerCluster } from '@sallyport/core/kafka/transactions/producer-cluster'
import type kafkajs from 'kafkajs'
import { rawAdmin, rawKafka, rawTransactionalProducer } from '../support/raw-kafka.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

describe('reading a partition without a group', function () {
  this.timeout(60_000)
  let kafka: kafkajs.Kafka
  let reader: PartitionReader
  let producer: kafkajs.Producer
  let producers: ProducerCluster

  before(async () => {
    const cluster = await sharedCluster()
    kafka = rawKafka(cluster.brokers)
    reader = new PartitionReader(cluster, 'test')
    producers = new ProducerCluster(cluster, 'test')
    producer = await rawTransactionalProducer(kafka, `test-${randomUUID()}`)
  })
  after(async () => {
    await producer.disconnect()
    await Promise.all([reader.close(), producers.close()])
  })

  async function newTopic(): Promise<string> {
    const topic = `test-${randomUUID()}`
    await rawAdmin(kafka, admin =>
      admin.createTopics({ topics: [{ topic, numPartitions: 2 }], waitForLeaders: true }),
    )
    return topic
  }

  async function transact(topic: string, keys: readonly string[], end: 'commit' | 'abort'): Promise<void> {
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: keys.map(key => ({ key, value: key, partition: 1 })) })
    await transaction[end]()
  }

  async function keys(topic: string, from = 0, until?: number): Promise<string[]> {
    const end = until ?? (await reader.bounds(topic)).get(1)?.high ?? 0
    const found: string[] = []
    for await (const { records } of reader.read({ topic, partition: 1, from, until: end })) {
      found.push(...records.map(({ key }) => String(key)))
    }
    return found
  }

  it('gives committed records in order, and nothing of an aborted transaction', async () => {
    const topic = await newTopic()
    await transact(topic, ['a', 'b'], 'commit')
    await transact(topic, ['lost'], 'abort')
    await transact(topic, ['c'], 'commit')
    await transact(topic, ['lost too'], 'abort')
    assert.deepEqual(await keys(topic), ['a', 'b', 'c'])
  })

  it('a header without a value has none, and is there: an operation sends it round as it was', async () => {
    const topic = await newTopic()
    const records = [{ key: null, value: Buffer.from('a'), headers: { none: null, empty: '' } }]
    await append(producers, { topic, partition: 1, records })
    for await (const { records } of reader.read({ topic, partition: 1, from: 0, until: 1 })) {
      assert.deepEqual(records[0]?.headers, { none: null, empty: Buffer.from('') })
    }
  })

  it('begins and ends in the middle of a batch, and arrives where nothing but markers lie', async () => {
    const topic = await newTopic()
    await transact(topic, ['a', 'b', 'c', 'd'], 'commit')
    assert.deepEqual(await keys(topic, 1, 3), ['b', 'c'])
    assert.deepEqual(await keys(topic, 4, 5), [])
  })

  it('goes on at the first offset that is kept when retention has overtaken it', async () => {
    const topic = await newTopic()
    await transact(topic, ['a', 'b'], 'commit')
    await transact(topic, ['c'], 'commit')
    await rawAdmin(kafka, async admin => {
      // kafkajs deletes only what it has metadata of.
      await admin.fetchTopicOffsets(topic)
      await admin.deleteTopicRecords({ topic, partitions: [{ partition: 1, offset: '3' }] })
    })
    assert.deepEqual(await keys(topic), ['c'])
    assert.equal((await reader.bounds(topic)).get(1)?.low, 3)
  })

  it('does not read past a transaction that is still open, and reads on when it is over', async () => {
    const topic = await newTopic()
    await transact(topic, ['a'], 'commit')
    const open = await producer.transaction()
    await open.send({ topic, messages: [{ key: 'later', value: '', partition: 1 }] })
    const end = (await reader.bounds(topic)).get(1)?.high as number
    assert.deepEqual(await keys(topic), ['a'])
    const reading = keys(topic, 0, end + 1)
    await open.commit()
    assert.deepEqual(await reading, ['a', 'later'])
  })

  it('finds the offsets of a time', async () => {
    const topic = await newTopic()
    await transact(topic, ['a'], 'commit')
    const [ends, past, future] = [
      (await reader.bounds(topic)).get(1)?.high,
      await reader.offsetsAt(topic, Date.now() - 3_600_000),
      await reader.offsetsAt(topic, Date.now() + 3_600_000),
    ]
    assert.equal(past.get(1), 0)
    assert.equal(future.get(1), ends)
    assert.equal(future.get(0), 0)
  })

  it('ends when it is told to', async () => {
    const topic = await newTopic()
    const stop = new AbortController()
    const reading = reader.read({ topic, partition: 0, from: 0, signal: stop.signal }).next()
    stop.abort()
    assert.equal((await reading).done, true)
  })
})
