import { BrokerClock } from '@sallyport/core/clock'
import { TaskProducer } from '@sallyport/core/kafka/task-producer'
import { ProducerCluster } from '@sallyport/core/kafka/transactions/producer-cluster'
import type { ConnectTransactor } from './transactor.ts'

const TRANSACTION_TIMEOUT_MS = 5_000

/** The product's own transactions. Each owner has connections of its own, as a process has. */
export const taskTransactor: ConnectTransactor = async ({ brokers, groupId, partition }) => {
  const cluster = new ProducerCluster({ brokers, registryUrl: '' }, 'test')
  const clock = new BrokerClock(Date.now)
  try {
    const producer = await TaskProducer.open(cluster, groupId, partition, {
      transactionTimeoutMs: TRANSACTION_TIMEOUT_MS,
      clock,
    })
    return {
      transact: (...writes) => producer.transact(...writes),
      async close() {
        await producer.close()
        await cluster.close()
      },
    }
  } catch (error) {
    await cluster.close()
    throw error
  }
}
