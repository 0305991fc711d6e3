/** What a cluster says of itself, and how its clock stands to ours: for operators, not for the data's path. */
import { randomUUID } from 'node:crypto'
import { apiVersionsV4, ConnectionPool } from '@platformatic/kafka'
import type kafkajs from 'kafkajs'
import { BrokerClock } from '../clock.ts'
import { withAdmin } from './admin.ts'

export interface ClusterFacts {
  readonly brokers: number
  /** The oldest release whose metadata version the cluster has; undefined where it is older than 3.3 or runs ZooKeeper. */
  readonly release: string | undefined
}

/** First level of `metadata.version` of each release. Source: Apache Kafka, MetadataVersion.java. */
const RELEASES: readonly (readonly [level: number, release: string])[] = [
  [4, '3.3'],
  [8, '3.4'],
  [9, '3.5'],
  [12, '3.6'],
  [15, '3.7'],
  [20, '3.8'],
  [21, '3.9'],
  [22, '4.0'],
  [26, '4.1'],
  [28, '4.2'],
]
const QUESTION_TIMEOUT_MS = 5_000

/** Throws `SP_BROKER_UNREACHABLE` (retryable). */
export async function clusterFacts(kafka: kafkajs.Kafka): Promise<ClusterFacts> {
  return await withAdmin(kafka, async admin => {
    const { brokers } = await admin.describeCluster()
    const [broker] = brokers
    return { brokers: brokers.length, release: broker === undefined ? undefined : await releaseOf(broker) }
  })
}

async function releaseOf(broker: {
  readonly host: string
  readonly port: number
}): Promise<string | undefined> {
  const timeouts = { connectTimeout: QUESTION_TIMEOUT_MS, requestTimeout: QUESTION_TIMEOUT_MS }
  const pool = new ConnectionPool('sallyport-doctor', timeouts)
  try {
    const answer = await apiVersionsV4.api.async(await pool.get(broker), 'sallyport', '1')
    const level =
      answer.finalizedFeatures?.find(({ name }) => name === 'metadata.version')?.maxVersionLevel ?? 0
    return RELEASES.findLast(([first]) => level >= first)?.[1]
  } finally {
    await pool.close()
  }
}

/**
 * The brokers' clock minus ours, ms. A record is the only thing that tells: it is written into a topic of its own, which
 * is deleted again. Throws `SP_BROKER_UNREACHABLE`, also where the cluster does not allow this.
 */
export async function clockSkewMs(kafka: kafkajs.Kafka): Promise<number> {
  const topic = `sallyport.doctor-${randomUUID()}`
  return await withAdmin(kafka, async admin => {
    const configEntries = [
      { name: 'message.timestamp.type', value: 'LogAppendTime' },
      { name: 'retention.ms', value: '60000' },
    ]
    await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions: 1, configEntries }] })
    const producer = kafka.producer({ allowAutoTopicCreation: false })
    try {
      await producer.connect()
      const clock = new BrokerClock(Date.now)
      // The first record also waits for metadata; the second one measures.
      for (let i = 0; i < 2; i++) {
        const sentMs = Date.now()
        const [answer] = await producer.send({ topic, messages: [{ partition: 0, value: 'tick' }] })
        clock.observe(Number(answer?.logAppendTime ?? -1), sentMs)
      }
      return clock.offsetMs
    } finally {
      await producer.disconnect().catch(() => {})
      await admin.deleteTopics({ topics: [topic] })
    }
  })
}
