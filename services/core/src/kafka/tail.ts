import { randomUUID } from 'node:crypto'
import type kafkajs from 'kafkajs'
import { topicBounds, withAdmin } from './admin.ts'
import type { FetchedRecord } from './group-consumer.ts'

/** Reads topics from their present end on, committed records only, without leaving a trace in the cluster. */
export interface Tail {
  stop(): Promise<void>
}

/** What is appended after this call's promise has resolved is handed over, each partition in order. */
export async function tailTopics(
  kafka: kafkajs.Kafka,
  topics: readonly string[],
  onRecord: (record: FetchedRecord) => void,
): Promise<Tail> {
  const bounds = await withAdmin(kafka, admin => topicBounds(admin, topics))
  const groupId = `sallyport-tail-${randomUUID()}`
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100, allowAutoTopicCreation: false })
  const joined = Promise.withResolvers<void>()
  consumer.on(consumer.events.GROUP_JOIN, () => {
    for (const [topic, partitions] of bounds) {
      for (const [partition, { high }] of partitions)
        consumer.seek({ topic, partition, offset: String(high) })
    }
    joined.resolve()
  })
  consumer.on(consumer.events.CRASH, ({ payload }) => joined.reject(payload.error))
  await consumer.connect()
  await consumer.subscribe({ topics: [...topics] })
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch }) => {
      const { topic, partition } = batch
      for (const { offset, timestamp, key, value, headers = {} } of batch.messages) {
        onRecord({
          topic,
          partition,
          offset: Number(offset),
          timestamp: Number(timestamp),
          key,
          value,
          headers,
        })
      }
    },
  })
  await joined.promise
  return {
    async stop() {
      await consumer.disconnect()
      await withAdmin(kafka, admin => admin.deleteGroups([groupId])).catch(() => {})
    },
  }
}
