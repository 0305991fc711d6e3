import { randomBytes } from 'node:crypto'
import { rawAdmin, rawKafka } from './raw-kafka.ts'

/** Creates a topic that no other test has, and returns its name. */
export async function freshTopic(brokers: readonly string[], partitions: number): Promise<string> {
  const topic = `sallyport.test-${randomBytes(5).toString('hex')}`
  await rawAdmin(rawKafka(brokers), admin =>
    admin.createTopics({ topics: [{ topic, numPartitions: partitions }], waitForLeaders: true }),
  )
  return topic
}
