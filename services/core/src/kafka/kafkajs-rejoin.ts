/**
 * Lets a member of a group join again without leaving it: kafkajs does so only when its coordinator says that the group
 * rebalances. Here its next heartbeat ends as if the coordinator had said so.
 *
 * Source: kafkajs 2.2.4, `consumer/consumerGroup.js` (`heartbeat`) and `consumer/runner.js` (`scheduleFetchManager`).
 */
import type kafkajs from 'kafkajs'
import ConsumerGroup from 'kafkajs/src/consumer/consumerGroup.js'
import errors from 'kafkajs/src/errors.js'
import { filedByCluster } from './kafkajs-cluster.ts'

/** Whether a consumer is to join again. */
export interface Rejoin {
  isAsked: boolean
}

const rejoins = new WeakMap<kafkajs.Cluster, Rejoin>()

/** An assigner for a consumer that joins again when it is asked. */
export function joiningAgain(rejoin: Rejoin, assigner: kafkajs.PartitionAssigner): kafkajs.PartitionAssigner {
  return filedByCluster(rejoins, rejoin, assigner)
}

const { heartbeat } = ConsumerGroup.prototype

ConsumerGroup.prototype.heartbeat = async function (options) {
  const rejoin = rejoins.get(this.cluster)
  if (rejoin?.isAsked) {
    rejoin.isAsked = false
    throw Object.assign(new errors.KafkaJSError('asked to join again'), { type: 'REBALANCE_IN_PROGRESS' })
  }
  await heartbeat.call(this, options)
}
