/** A partition whose only replica is on a broker that died: nobody leads it, and nobody else may suffer from it. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { topicBounds, withAdmin } from '@sallyport/core/kafka/admin'
import { createKafka } from '@sallyport/core/kafka/client'
import { Cluster as KnownCluster } from '@sallyport/core/kafka/cluster'
import { PartitionEnds } from '@sallyport/core/kafka/partition-ends'
import { readTopics } from '@sallyport/core/kafka/topic-reader'
import { createLog } from '@sallyport/core/log'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { rawAdmin, rawKafka } from '../support/raw-kafka.ts'
import { waitFor } from '../support/wait-for.ts'

const TOPIC = 'of-two-brokers'
const OTHER = 'of-one-broker'

describe('a partition without a leader', function () {
  this.timeout(240_000)
  let cluster: Cluster
  let connection: { brokers: readonly string[]; registryUrl: string }
  const log = createLog('test')
  log.level = 'silent'

  before(async () => {
    // Setup, for all tests: one topic has a partition on broker 1 and one on broker 3, another topic one on broker 1,
    // each without a second replica; a record is in each. Broker 3 is killed.
    cluster = await startCluster({ brokers: 3, withRegistry: false })
    connection = { brokers: cluster.brokers.slice(0, 2), registryUrl: cluster.registryUrl }
    const kafka = rawKafka(cluster.brokers)
    await rawAdmin(kafka, async admin => {
      const placed = (topic: string, brokers: readonly number[]) => ({
        topic,
        numPartitions: -1,
        replicationFactor: -1,
        replicaAssignment: brokers.map((broker, partition) => ({ partition, replicas: [broker] })),
      })
      await admin.createTopics({ waitForLeaders: true, topics: [placed(TOPIC, [1, 3]), placed(OTHER, [1])] })
    })
    const producer = kafka.producer()
    await producer.connect()
    const messages = [
      { partition: 0, value: 'led' },
      { partition: 1, value: 'lost' },
    ]
    await producer.send({ topic: TOPIC, messages })
    await producer.send({ topic: OTHER, messages: [{ partition: 0, value: 'led' }] })
    await producer.disconnect()
    await cluster.kill(2)
    const known = new KnownCluster(connection, 'test', [TOPIC], 5_000)
    do {
      await sleep(200)
      await known.refresh().catch(() => {})
    } while (known.leaderOf(TOPIC, 1) !== undefined)
    await known.close()
  })
  after(() => cluster?.stop())

  async function ends() {
    const asked = new PartitionEnds(connection, 'test')
    try {
      return await asked.read([TOPIC, OTHER], [0, 1])
    } catch {
      return []
    } finally {
      await asked.close()
    }
  }

  it('leaves the ends of all others known', async () => {
    const end = { partition: 0, highWatermark: 1, stableOffset: 1 }
    assert.deepEqual(await ends(), [
      { topic: TOPIC, ...end },
      { topic: OTHER, ...end },
    ])
  })

  it('leaves the leaders of all others known (C4)', async () => {
    const known = new KnownCluster(connection, 'test', [TOPIC, OTHER], 5_000)
    await known.refresh()
    assert.deepEqual(
      [known.leaderOf(TOPIC, 0), known.leaderOf(TOPIC, 1), known.leaderOf(OTHER, 0)],
      [1, undefined, 1],
    )
    await known.close()
  })

  it('leaves the bounds of all others known where it may be left out, and is named where it may not', async () => {
    const kafka = createKafka(connection, 'test', log)
    const bounds = await withAdmin(kafka, admin => topicBounds(admin, [TOPIC, OTHER], 'omit'))
    assert.deepEqual(
      [...bounds].map(([topic, partitions]) => [topic, [...partitions]]),
      [
        [TOPIC, [[0, { low: 0, high: 1 }]]],
        [OTHER, [[0, { low: 0, high: 1 }]]],
      ],
    )
    await assert.rejects(
      withAdmin(kafka, admin => topicBounds(admin, [TOPIC])),
      /SP_BROKER_UNREACHABLE: a partition of of-two-brokers has no leader/,
    )
  })

  it('is read once it has a leader, all others meanwhile', async () => {
    // Timeline: a reader of both topics begins; broker 3 comes back. Proves: the reader hands over what is led at once,
    // and the rest as soon as somebody leads it, not with the next regular refresh of the metadata.
    const kafka = createKafka(connection, 'test', log)
    const values: string[] = []
    const from = new Map([
      [
        TOPIC,
        new Map([
          [0, 0],
          [1, 0],
        ]),
      ],
      [OTHER, new Map([[0, 0]])],
    ])
    const read = () =>
      readTopics(kafka, 'leaderless', from, async ({ records }) => {
        for (const { value } of records) values.push(String(value))
      })
    // Groups that the dead broker coordinated have a new coordinator, which still reads what it needs.
    const reader = await read().catch(read).catch(read)
    try {
      await waitFor(() => values.length === 2, 30_000)
      assert.deepEqual(values, ['led', 'led'])
      await cluster.restart(2)
      await waitFor(() => values.length === 3, 30_000)
      assert.equal(values[2], 'lost')
    } finally {
      await reader.stop()
    }
  })
})
