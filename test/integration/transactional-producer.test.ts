import assert from 'node:assert/strict'
import { BrokerClock } from '@sallyport/core/clock'
import type { PartitionWrites } from '@sallyport/core/kafka/produce-record'
import { ProducerCluster, UnansweredError } from '@sallyport/core/kafka/transactions/producer-cluster'
import { initProducerId, NO_IDENTITY } from '@sallyport/core/kafka/transactions/requests'
import { TransactionalProducer } from '@sallyport/core/kafka/transactions/transactional-producer'
import { readEnded } from '../chaos/processor/topic-log.ts'
import { rawAdmin, rawKafka } from '../support/raw-kafka.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { freshTopic } from '../support/topic.ts'

const PARTITIONS = 6
/** The last epoch in which a producer writes. Source: Apache Kafka, TransactionMetadata.isEpochExhausted. */
const EPOCH_LAST = 32_766

for (const version of [2, 1] as const) {
  describe(`a transactional producer, transaction version ${version}`, function () {
    this.timeout(60_000)
    let brokers: readonly string[]
    let cluster: ProducerCluster
    let topic: string
    const clock = new BrokerClock(Date.now)

    before(async () => {
      const connection = await sharedCluster()
      brokers = connection.brokers
      cluster = new ProducerCluster(connection, 'test')
      if (version === 1) cluster.abilities = async () => ({ version: 1, describes: true })
      topic = await freshTopic(brokers, PARTITIONS)
    })

    after(() => cluster.close())

    async function open(id = `${topic}-0`, transactionTimeoutMs = 10_000) {
      return await TransactionalProducer.open(cluster, id, { transactionTimeoutMs, clock })
    }

    function writes(mark: string, partitions = PARTITIONS, records = 1): PartitionWrites[] {
      return Array.from({ length: partitions }, (_, partition) => ({
        topic,
        partition,
        records: Array.from({ length: records }, () => ({
          key: Buffer.from(mark),
          value: Buffer.from('value'),
          headers: { name: 'text', none: null, bytes: Buffer.from([0, 255]) },
        })),
      }))
    }

    async function transact(producer: TransactionalProducer, written: PartitionWrites[], groupId?: string) {
      await producer.begin(written, groupId)
      const ends = await producer.write(written)
      if (groupId !== undefined) await producer.commitOffsets(groupId, 0, [{ topic, offset: 7 }])
      await producer.commit()
      return ends
    }

    /** How the records with this key ended: asked until each has, for markers come after the answer. */
    async function statesOf(mark: string): Promise<string[]> {
      const { records } = await readEnded(brokers, topic, PARTITIONS)
      return records.filter(({ key }) => key === mark).map(({ state }) => state)
    }

    /** Uses up epochs of a transactional id, up to this one, as its producer's own requests would. */
    async function wearOut(id: string, lastEpoch: number): Promise<void> {
      const coordinator = await cluster.coordinatorOf('transaction', id)
      let identity = NO_IDENTITY
      while (identity.epoch < lastEpoch) {
        const answer = await cluster.coordinate(coordinator, initProducerId(id, identity, 10_000))
        if (answer.code === 0) identity = answer
      }
    }

    it('speaks the version that the cluster has', async () => {
      assert.equal((await open()).version, version)
    })

    it('commits records of several partitions and a group’s offsets, and says where they end (P9)', async () => {
      const groupId = `${topic}.group`
      const producer = await open()
      const first = await transact(producer, writes('all'), groupId)
      const second = await transact(producer, writes('all', PARTITIONS, 3))
      assert.ok(second.every((end, i) => (end as number) >= (first[i] as number) + 3))
      assert.deepEqual(
        await statesOf('all'),
        Array.from({ length: PARTITIONS * 4 }, () => 'committed'),
      )
      const [offsets] = await rawAdmin(rawKafka(brokers), admin =>
        admin.fetchOffsets({ groupId, topics: [topic] }),
      )
      assert.equal(offsets?.partitions.find(({ partition }) => partition === 0)?.offset, '7')
    })

    it('gives every transaction an epoch of its own, in which sequence numbers begin anew (P7, P8)', async () => {
      const producer = await open()
      const seen = new Set<string>()
      for (let i = 0; i < 5; i++) {
        await producer.begin(writes('each'))
        await producer.write(writes('each'))
        await producer.write(writes('each'))
        seen.add(`${producer.identity.producerId}/${producer.identity.epoch}`)
        await producer.commit()
      }
      assert.equal(seen.size, 5)
      assert.equal((await statesOf('each')).filter(state => state === 'committed').length, 2 * 5 * PARTITIONS)
    })

    it('splits what is too much for one batch, and keeps its order', async () => {
      const producer = await open()
      const records = Array.from({ length: 40 }, (_, i) => ({
        key: Buffer.from(`big-${i}`),
        value: Buffer.alloc(100_000),
      }))
      const [end] = await transact(producer, [{ topic, partition: 0, records }])
      const { committed } = await readEnded(brokers, topic, PARTITIONS)
      const keys = committed.filter(({ key }) => key.startsWith('big-')).map(({ key }) => key)
      assert.deepEqual(
        keys,
        records.map(({ key }) => String(key)),
      )
      assert.ok((end as number) >= 40)
    })

    it('is ended by whoever opens its transactional id, who resolves what was under way (P11)', async () => {
      // Setup: A has written in a transaction. Timeline: B opens the id; A writes on, and another A' wants to commit.
      // Proves: both are refused, nothing of theirs is committed, and B goes on.
      const [a, other] = [await open(`${topic}-a`), await open(`${topic}-b`)]
      for (const producer of [a, other]) {
        await producer.begin(writes('zombie'))
        await producer.write(writes('zombie'))
      }
      const b = await open(`${topic}-a`)
      const c = await open(`${topic}-b`)
      assert.deepEqual([...new Set(await statesOf('zombie'))], ['aborted'])
      await assert.rejects(a.write(writes('zombie')), { kind: 'fenced' })
      await assert.rejects(other.commit(), { kind: 'fenced' })
      await transact(b, writes('owner'))
      await transact(c, writes('owner'))
      assert.deepEqual([...new Set(await statesOf('zombie'))], ['aborted'])
      assert.equal((await statesOf('owner')).length, 2 * PARTITIONS)
    })

    it('that is closed in the middle of a transaction aborts it at once', async () => {
      const producer = await open(`${topic}-closing`, 60_000)
      await producer.begin(writes('closed'))
      await producer.write(writes('closed'))
      await producer.close()
      while ((await statesOf('closed')).includes('open'))
        await new Promise(resolve => setTimeout(resolve, 20))
      assert.deepEqual([...new Set(await statesOf('closed'))], ['aborted'])
    })

    it('a commit whose answer is lost is asked for again, and is made once (P10)', async () => {
      const producer = await open(`${topic}-lost`)
      const { coordinate } = cluster
      let asked = 0
      cluster.coordinate = async (broker, request) => {
        const answer = await coordinate.call(cluster, broker, request)
        if (request.name !== 'EndTxn' || asked++ > 0) return answer as never
        throw new UnansweredError('lost')
      }
      try {
        await transact(producer, writes('lost'))
      } finally {
        cluster.coordinate = coordinate
      }
      assert.ok(asked > 1)
      await transact(producer, writes('lost'))
      assert.deepEqual(
        await statesOf('lost'),
        Array.from({ length: 2 * PARTITIONS }, () => 'committed'),
      )
    })

    // Once is enough: it takes as long as a failover may.
    if (version === 2)
      it('a commit that is never answered ends the producer: nobody knows its outcome (P10)', async () => {
        const producer = await open(`${topic}-unanswered`, 500)
        const { coordinate } = cluster
        await producer.begin(writes('unanswered'))
        await producer.write(writes('unanswered'))
        cluster.coordinate = async (broker, request) => {
          await coordinate.call(cluster, broker, request)
          throw new UnansweredError('lost')
        }
        try {
          await assert.rejects(producer.commit(), { kind: 'unknown' })
        } finally {
          cluster.coordinate = coordinate
        }
        assert.deepEqual([...new Set(await statesOf('unanswered'))], ['committed'])
      })

    it('a batch whose answer is lost is sent again and is in the log once (P8)', async () => {
      const producer = await open(`${topic}-again`)
      const { produce } = cluster
      let lost = 0
      cluster.produce = async (broker, request) => {
        const answer = await produce.call(cluster, broker, request)
        if (lost++ > 0) return answer as never
        throw new UnansweredError('lost')
      }
      try {
        await transact(producer, writes('again'))
      } finally {
        cluster.produce = produce
      }
      assert.deepEqual(
        await statesOf('again'),
        Array.from({ length: PARTITIONS }, () => 'committed'),
      )
    })

    it('a partition that is not there holds a transaction up to its deadline, and no other one (P12, C4)', async () => {
      const producer = await open(`${topic}-missing`, 1_500)
      const nowhere = [{ topic: `${topic}-nowhere`, partition: 0, records: [{ key: null, value: null }] }]
      const stuck = assert.rejects(transact(producer, nowhere), { kind: 'failed' })
      await transact(await open(`${topic}-other`), writes('beside'))
      await stuck
    })

    it('epochs run out: the next transaction has a new producer id, and goes on (P7)', async function () {
      this.timeout(240_000)
      const id = `${topic}-worn`
      await wearOut(id, EPOCH_LAST - 5)
      const producer = await open(id)
      const ids = new Set<bigint>()
      for (let i = 0; i < 12; i++) {
        await transact(producer, writes('worn', 2))
        ids.add(producer.identity.producerId)
      }
      assert.equal(ids.size, 2)
      assert.deepEqual(
        await statesOf('worn'),
        Array.from({ length: 24 }, () => 'committed'),
      )
    })
  })
}
