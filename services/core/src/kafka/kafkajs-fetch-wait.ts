/**
 * Lets each fetch of a consumer wait for as long as is right then; kafkajs lets all of them wait equally long. And a
 * consumer that stops does not wait for the fetches that are under way: it leaves its group at once.
 *
 * Source: kafkajs 2.2.4, `consumer/consumerGroup.js` (`fetch`, `recoverFromFetch`) and `consumer/fetcher.js` (`stop`).
 * Fetches have a connection of their own (`network/connectionPool.js`): nothing else waits behind them.
 */
import type kafkajs from 'kafkajs'
import ConsumerGroup from 'kafkajs/src/consumer/consumerGroup.js'
import type { FetchWait } from './fetch-wait.ts'
import { filedByCluster } from './kafkajs-cluster.ts'

const waits = new WeakMap<kafkajs.Cluster, FetchWait>()

/** An assigner for a consumer whose fetches wait as `wait` says. */
export function fetchingFor(wait: FetchWait, assigner: kafkajs.PartitionAssigner): kafkajs.PartitionAssigner {
  return filedByCluster(waits, wait, assigner)
}

const { fetch, recoverFromFetch } = ConsumerGroup.prototype

ConsumerGroup.prototype.fetch = async function (nodeId) {
  const wait = waits.get(this.cluster)
  if (wait === undefined) return await fetch.call(this, nodeId)
  // It is the same for all brokers: whose fetch takes it makes no difference.
  this.maxWaitTime = wait.ms
  return await wait.unlessOver(fetch.call(this, nodeId))
}

ConsumerGroup.prototype.recoverFromFetch = async function (error) {
  // It may join again, and would be a member that nobody ends.
  if (waits.get(this.cluster)?.isOver === true) return
  await recoverFromFetch.call(this, error)
}
