/**
 * Mends kafkajs's metadata: one partition without a leader, of any topic, made the whole answer unreadable, so that a
 * consumer, and each question of the admin client, stood still for partitions that others lead.
 *
 * - Such a partition is known with the leader -1. Nothing is fetched of it, and the metadata is asked for again soon.
 * - Where it begins or ends nobody knows: its offset is `UNKNOWN_OFFSET`.
 *
 * Source: kafkajs 2.2.4, `protocol/requests/metadata/v0/response.js` (`parse`, which all versions use),
 * `cluster/brokerPool.js` (`refreshMetadata`) and `cluster/index.js` (`fetchTopicsOffset`).
 */
import BrokerPool from 'kafkajs/src/cluster/brokerPool.js'
import Cluster, { type WantedOffsets } from 'kafkajs/src/cluster/index.js'
import { exchange } from './kafkajs-exchange.ts'

interface PartitionMetadata {
  readonly partitionErrorCode: number
  readonly leader: number
}

interface Metadata {
  readonly topicMetadata: readonly { readonly partitionMetadata: readonly PartitionMetadata[] }[]
}

interface Response {
  decode(data: Buffer): Promise<Metadata>
  parse(data: Metadata): Promise<Metadata>
}

/** The offset of a partition that nobody leads. */
export const UNKNOWN_OFFSET = '-1'
/** The leader of a partition that nobody leads. */
const NO_LEADER = -1
/** LEADER_NOT_AVAILABLE; and REPLICA_NOT_AVAILABLE, of which the Java client makes nothing either. */
const PASSED_OVER = new Set([5, 9])
/** How soon the metadata is asked for again while a partition has no leader, ms. */
const LEADER_WAIT_MS = 1_000

exchange<Response>('kafkajs/src/protocol/requests/metadata/v0/response.js', original => ({
  ...original,
  async parse(data) {
    const topicMetadata = data.topicMetadata.map(topic => ({
      ...topic,
      partitionMetadata: topic.partitionMetadata.filter(
        ({ partitionErrorCode }) => !PASSED_OVER.has(partitionErrorCode),
      ),
    }))
    await original.parse({ ...data, topicMetadata })
    return data
  },
}))

const { refreshMetadata } = BrokerPool.prototype

BrokerPool.prototype.refreshMetadata = async function (topics) {
  await refreshMetadata.call(this, topics)
  const { metadata } = this
  const isLed = ({ leader }: PartitionMetadata) => leader !== NO_LEADER
  if (metadata?.topicMetadata.every(topic => topic.partitionMetadata.every(isLed)) === false) {
    this.metadataExpireAt = Math.min(
      this.metadataExpireAt ?? Number.POSITIVE_INFINITY,
      Date.now() + LEADER_WAIT_MS,
    )
  }
}

const { fetchTopicsOffset } = Cluster.prototype

Cluster.prototype.fetchTopicsOffset = async function (wanted) {
  const leaderless: { topic: string; partition: number; offset: string }[] = []
  const led = wanted.map((each: WantedOffsets) => {
    const unled = new Set(
      this.findTopicPartitionMetadata(each.topic)
        .filter(({ leader }) => leader === NO_LEADER)
        .map(({ partitionId }) => partitionId),
    )
    for (const { partition } of each.partitions) {
      if (unled.has(partition)) leaderless.push({ topic: each.topic, partition, offset: UNKNOWN_OFFSET })
    }
    return { ...each, partitions: each.partitions.filter(({ partition }) => !unled.has(partition)) }
  })
  const found = new Map(
    (await fetchTopicsOffset.call(this, led)).map(({ topic, partitions }) => [topic, [...partitions]]),
  )
  for (const { topic, ...place } of leaderless) {
    found.set(topic, [...(found.get(topic) ?? []), place])
  }
  return [...found].map(([topic, partitions]) => ({ topic, partitions }))
}
