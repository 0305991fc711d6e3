/** kafkajs as somebody else would use it: for what the product's own adapters must withstand. */
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
): Promise<kafkajs.Producer> {
  const producer = kafka.producer({
    transactionalId,
    transactionTimeout: 60_000,
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
