/** Appends single records outside any transaction. */
import { BrokerClock, systemClock } from '../clock.ts'
import { errorMessage, SallyportError } from '../errors.ts'
import type { PartitionWrites } from './produce-record.ts'
import { PartitionBatches } from './transactions/partition-batches.ts'
import { persist } from './transactions/persist.ts'
import type { ProducerCluster } from './transactions/producer-cluster.ts'
import { writeBatches } from './transactions/write-batches.ts'

/** Longer than a broker's failover takes. */
const DEADLINE_MS = 20_000

/**
 * Appends records to one partition, once, however often a broker has to be asked. Returns the offset of the last one.
 * Throws `SP_BROKER_UNREACHABLE`; then they may have been written.
 */
export async function append(cluster: ProducerCluster, writes: PartitionWrites): Promise<number> {
  const deadlineAt = performance.now() + DEADLINE_MS
  const writer = { cluster, version: 1, transactionalId: null, clock: new BrokerClock(systemClock) } as const
  try {
    const identity = await persist('InitProducerId', deadlineAt, async () => ({
      code: 0,
      ...(await cluster.newIdentity()),
    }))
    const batches = new PartitionBatches(writes, identity, 0, false)
    await writeBatches(writer, [batches], deadlineAt)
    if (batches.end === undefined) throw new Error('the broker does not say where the records are')
    return batches.end - 1
  } catch (error) {
    throw new SallyportError(
      'SP_BROKER_UNREACHABLE',
      `a record of ${writes.topic} may not be written (${errorMessage(error)}): run the command again, it goes on from what is there`,
      { cause: error, retryable: true },
    )
  }
}
