/**
 * Says where a consumer's position is out of range. kafkajs by itself writes a line to its log, commits "earliest" for the
 * group, and goes on from there: what had expired would be lost without being counted, and a topic that was made again
 * would be read from its start unnoticed.
 *
 * Source: kafkajs 2.2.4, `consumer/consumerGroup.js` (`recoverFromOffsetOutOfRange`).
 */
import type kafkajs from 'kafkajs'
import ConsumerGroup from 'kafkajs/src/consumer/consumerGroup.js'
import { filedByCluster } from './kafkajs-cluster.ts'

/** Is told of a partition that has no record where it is read. It must see to it that it is read elsewhere, or not. */
export type OutOfRangeListener = (topic: string, partition: number) => void

const listeners = new WeakMap<kafkajs.Cluster, OutOfRangeListener>()

/** An assigner for a consumer that is told. */
export function tellingOutOfRange(
  listener: OutOfRangeListener,
  assigner: kafkajs.PartitionAssigner,
): kafkajs.PartitionAssigner {
  return filedByCluster(listeners, listener, assigner)
}

const { recoverFromOffsetOutOfRange } = ConsumerGroup.prototype

ConsumerGroup.prototype.recoverFromOffsetOutOfRange = async function (error) {
  const { topic, partition } = error
  const listener = listeners.get(this.cluster)
  // A follower may only be behind: kafkajs asks the leader then.
  const isFollowers = this.preferredReadReplicasPerTopicPartition[topic]?.[partition] !== undefined
  if (listener === undefined || isFollowers) await recoverFromOffsetOutOfRange.call(this, error)
  else listener(topic, partition)
}
