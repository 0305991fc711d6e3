/**
 * Has kafkajs settle where a consumer group begins. By itself it looks for "latest" anew at each join, and passes over
 * what came to a quiet partition meanwhile.
 *
 * J9. Where a group begins in a topic is settled once, for all its partitions in one commit, before anything is fetched.
 *     A partition without an offset in a topic that has offsets is new, and begins with its first record.
 *
 * The group's leader settles it, and commits under the generation in which it looked: a rebalance in between has the
 * commit refused, so that no offset which another member has committed meanwhile is written over. The other members
 * fetch nothing until the offsets are there.
 *
 * Source: kafkajs 2.2.4, `consumer/consumerGroup.js` (`fetch`) and `consumer/offsetManager/index.js`.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type kafkajs from 'kafkajs'
import ConsumerGroup, { type OffsetManager } from 'kafkajs/src/consumer/consumerGroup.js'
import { filedByCluster } from './kafkajs-cluster.ts'
import { UNKNOWN_OFFSET } from './kafkajs-leaderless.ts'

export interface Beginning {
  readonly fromBeginning: boolean
  /** Called when it is settled, at each join. */
  settled(): void
}

/** The answer for a partition whose offset was never committed. kafkajs itself commits -2 where an offset is out of range. */
const NO_OFFSET = '-1'

const beginnings = new WeakMap<kafkajs.Cluster, Beginning>()
/** kafkajs makes an offset manager for each join. */
const checks = new WeakMap<OffsetManager, Promise<boolean>>()

/**
 * An assigner for a consumer whose group begins like this. The consumer itself subscribes with `fromBeginning: true`,
 * which then counts for new partitions alone.
 */
export function beginningAt(
  beginning: Beginning,
  assigner: kafkajs.PartitionAssigner,
): kafkajs.PartitionAssigner {
  return filedByCluster(beginnings, beginning, assigner)
}

const { fetch } = ConsumerGroup.prototype

ConsumerGroup.prototype.fetch = async function (nodeId) {
  const beginning = beginnings.get(this.cluster)
  if (beginning === undefined) return await fetch.call(this, nodeId)
  try {
    if (!(await isSettled(this, beginning))) {
      await sleep(this.maxWaitTime)
      return []
    }
  } catch (error) {
    await this.recoverFromFetch(error)
    return []
  }
  return await fetch.call(this, nodeId)
}

/** One look for all brokers that are fetched from side by side; another one while nothing is settled. */
async function isSettled(group: ConsumerGroup, beginning: Beginning): Promise<boolean> {
  const manager = group.offsetManager
  let check = checks.get(manager)
  if (check === undefined) {
    check = settle(group, manager, beginning)
    checks.set(manager, check)
  }
  let settled = false
  try {
    settled = await check
  } finally {
    if (!settled) checks.delete(manager)
  }
  return settled
}

async function settle(group: ConsumerGroup, manager: OffsetManager, beginning: Beginning): Promise<boolean> {
  const { cluster, groupId } = group
  const { generationId, memberId } = manager
  const isLeader = group.leaderId === memberId
  // During a deployment the leader may not know a topic that this member reads, and then assigns nothing of it.
  const names = isLeader ? group.topicsSubscribed : group.topics
  await cluster.refreshMetadataIfNecessary()
  const topics = names.map(topic => ({
    topic,
    partitions: cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => ({
      partition: partitionId,
      offset: NO_OFFSET,
    })),
  }))
  const coordinator = await manager.getCoordinator()
  const { responses } = await coordinator.offsetFetch({ groupId, topics })
  const begun = new Set(
    responses
      .filter(({ partitions }) => partitions.some(({ offset }) => offset !== NO_OFFSET))
      .map(({ topic }) => topic),
  )
  const unsettled = topics.filter(({ topic, partitions }) => partitions.length > 0 && !begun.has(topic))
  if (unsettled.length > 0) {
    if (!isLeader) return false
    const { fromBeginning } = beginning
    const offsets = await cluster.fetchTopicsOffset(unsettled.map(topic => ({ ...topic, fromBeginning })))
    // A partition without a leader: where it begins nobody knows now.
    if (offsets.some(({ partitions }) => partitions.some(({ offset }) => offset === UNKNOWN_OFFSET)))
      return false
    await coordinator.offsetCommit({ groupId, memberId, groupGenerationId: generationId, topics: offsets })
  }
  beginning.settled()
  return true
}
