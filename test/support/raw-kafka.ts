/** kafkajs as somebody else would use it: for what the product's own adapters must withstand. */
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs from 'kafkajs'

export function rawKafka(brokers: readonly string[]): kafkajs.Kafka {
  return new kafkajs.Kafka({
    brokers: [...brokers],
    logLevel: kafkajs.logLevel.NOTHING,
    retry: { initialRetryTime: 5, retries: 10 },
  })
}

/** A transactional producer under any id. */
export async function rawTransactionalProducer(
  kafka: kafkajs.Kafka,
  transactionalId: string,
  transactionTimeout = 60_000,
): Promise<kafkajs.Producer> {
  const producer = kafka.producer({
    transactionalId,
    transactionTimeout,
    maxInFlightRequests: 1,
    createPartitioner:
      () =>
      ({ message }) =>
        message.partition as number,
  })
  await producer.connect()
  return producer
}

/** How many members a group has. */
export async function memberCount(kafka: kafkajs.Kafka, groupId: string): Promise<number> {
  const { groups } = await rawAdmin(kafka, admin => admin.describeGroups([groupId]))
  return groups[0]?.members.length ?? 0
}

/** Runs `work` with an admin client. */
export async function rawAdmin<T>(
  kafka: kafkajs.Kafka,
  work: (admin: kafkajs.Admin) => Promise<T>,
): Promise<T> {
  const admin = kafka.admin()
  await admin.connect()
  try {
    return await work(admin)
  } finally {
    await admin.disconnect()
  }
}

/** Waits until a group's coordinator answers: in a new cluster it is there some time after it was asked for first. */
export async function coordinatorOf(kafka: kafkajs.Kafka, groupId: string): Promise<void> {
  await rawAdmin(kafka, async admin => {
    for (let tries = 1; ; tries++) {
      try {
        await admin.fetchOffsets({ groupId })
        return
      } catch (error) {
        if (tries === 100) throw error
        await sleep(100)
      }
    }
  })
}
