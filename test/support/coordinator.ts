import type { Broker } from '@platformatic/kafka'
import { persist } from '@sallyport/core/kafka/transactions/persist'
import type { ProducerCluster } from '@sallyport/core/kafka/transactions/producer-cluster'

/** Has no absolute value of its kind: Kafka takes 0 for it. */
const INT32_MIN = -(2 ** 31)

/** The partition of an internal topic whose leader coordinates a group or a transactional id. */
export function coordinatorPartition(id: string, partitions: number): number {
  let hash = 0
  for (let i = 0; i < id.length; i++) hash = (31 * hash + id.charCodeAt(i)) | 0
  return hash === INT32_MIN ? 0 : Math.abs(hash) % partitions
}

/**
 * The broker that coordinates a transactional id. The first one to ask makes the brokers create the topic that
 * coordinators keep, which takes a while.
 */
export async function coordinatorOf(
  cluster: ProducerCluster,
  id: string,
  timeoutMs: number,
): Promise<Broker> {
  return await persist('FindCoordinator', performance.now() + timeoutMs, async () => ({
    code: 0,
    ...(await cluster.coordinatorOf('transaction', id)),
  }))
}
