import { Base } from '@platformatic/kafka'
import type { Connection } from '../connection.ts'

/** What tells a topic from another one of its name: in another cluster, or created anew. */
export interface TopicIdentity {
  readonly clusterId: string
  readonly topicId: string
}

/** kafkajs's metadata requests are older than topic ids. */
export async function topicIdentity(connection: Connection, topic: string): Promise<TopicIdentity> {
  const client = new Base({
    clientId: 'sallyport-identity',
    bootstrapBrokers: [...connection.brokers],
    connectTimeout: 3_000,
    requestTimeout: 3_000,
    retries: 3,
    retryDelay: 200,
  })
  try {
    const { id, topics } = await client.metadata({ topics: [topic], autocreateTopics: false })
    const topicId = topics.get(topic)?.id
    if (topicId === undefined) throw new Error(`${topic} is not in the cluster's metadata`)
    return { clusterId: id, topicId }
  } finally {
    await client.close()
  }
}
