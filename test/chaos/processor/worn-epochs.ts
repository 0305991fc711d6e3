/**
 * Wears out the epochs of some tasks' transactional ids before a run begins, so that they run out in its midst, while
 * processes and brokers die: the coordinator then hands out a new producer id with an answer that may be lost.
 */
import type { Connection } from '@sallyport/core/connection'
import { ProducerCluster } from '@sallyport/core/kafka/transactions/producer-cluster'
import { initProducerId, NO_IDENTITY } from '@sallyport/core/kafka/transactions/requests'
import { coordinatorOf } from '../../support/coordinator.ts'
import type { TransactionState } from './transaction-state.ts'

/** The last epoch in which a producer writes. Source: Apache Kafka, TransactionMetadata.isEpochExhausted. */
const EPOCH_LAST = 32_766
/** Epochs that are left: those of a minute or two of a task under this load. */
const EPOCHS_LEFT = 150
const TRANSACTION_TIMEOUT_MS = 5_000
const COORDINATOR_TIMEOUT_MS = 60_000

/** The producer id that each transactional id had when it was worn out. */
export type WornIds = ReadonlyMap<string, bigint>

/** Asks for producer ids, as a producer without records would, until few epochs are left. */
export async function wearOut(connection: Connection, ids: readonly string[]): Promise<WornIds> {
  const cluster = new ProducerCluster(connection, 'chaos')
  try {
    return new Map(await Promise.all(ids.map(async id => [id, await wearOutOne(cluster, id)] as const)))
  } finally {
    await cluster.close()
  }
}

async function wearOutOne(cluster: ProducerCluster, id: string): Promise<bigint> {
  const coordinator = await coordinatorOf(cluster, id, COORDINATOR_TIMEOUT_MS)
  let identity = NO_IDENTITY
  while (identity.epoch < EPOCH_LAST - EPOCHS_LEFT) {
    const answer = await cluster.coordinate(coordinator, initProducerId(id, identity, TRANSACTION_TIMEOUT_MS))
    if (answer.code === 0) identity = answer
  }
  return identity.producerId
}

/** Those of the worn ids that still have their producer id: their epochs did not run out. */
export function notRunOut(worn: WornIds, states: readonly TransactionState[]): string[] {
  const last = new Map(states.map(({ transactionalId, producerId }) => [transactionalId, producerId]))
  return [...worn].filter(([id, producerId]) => last.get(id) === producerId).map(([id]) => id)
}
