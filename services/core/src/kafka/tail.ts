import type kafkajs from 'kafkajs'
import { topicBounds, withAdmin } from './admin.ts'
import type { FetchedRecord } from './group-consumer.ts'
import { readTopics, type TopicReader } from './topic-reader.ts'

/**
 * Reads topics from their present end on, committed records only. What is appended after this call's promise has
 * resolved is handed over, each partition in order.
 */
export async function tailTopics(
  kafka: kafkajs.Kafka,
  topics: readonly string[],
  onRecord: (record: FetchedRecord) => Promise<void> | void,
): Promise<TopicReader> {
  const bounds = await withAdmin(kafka, admin => topicBounds(admin, topics))
  const ends = new Map(
    [...bounds].map(([topic, partitions]) => [
      topic,
      new Map([...partitions].map(([partition, { high }]) => [partition, high])),
    ]),
  )
  return await readTopics(kafka, 'tail', ends, async ({ records }) => {
    for (const record of records) await onRecord(record)
  })
}
