/**
 * Has a consumer end where a position is out of range. By itself kafkajs writes a line to its log, commits "earliest" for
 * the group, and goes on from there: what had expired would be lost without being counted, and a topic that was made
 * again would be read from its start unnoticed. Who joins again finds out which of the two it is.
 *
 * Source: kafkajs 2.2.4, `consumer/consumerGroup.js` (`recoverFromOffsetOutOfRange`).
 */
import type kafkajs from 'kafkajs'
import ConsumerGroup, { type OffsetOutOfRange } from 'kafkajs/src/consumer/consumerGroup.js'

const ending = new WeakSet<kafkajs.Cluster>()

/** An assigner for a consumer that ends then; kafkajs shows the consumer's parts to assigners only. */
export function endingOutOfRange(assigner: kafkajs.PartitionAssigner): kafkajs.PartitionAssigner {
  return config => {
    ending.add(config.cluster)
    return assigner(config)
  }
}

const { recoverFromOffsetOutOfRange } = ConsumerGroup.prototype

ConsumerGroup.prototype.recoverFromOffsetOutOfRange = async function (error) {
  // A follower may only be behind: kafkajs asks the leader then.
  const isFollowers =
    this.preferredReadReplicasPerTopicPartition[error.topic]?.[error.partition] !== undefined
  if (ending.has(this.cluster) && !isFollowers) throw error
  await recoverFromOffsetOutOfRange.call(this, error)
}

export function isOutOfRange(error: unknown): error is OffsetOutOfRange {
  return error instanceof Error && error.name === 'KafkaJSOffsetOutOfRange'
}
