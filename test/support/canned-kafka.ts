/** A kafkajs whose one consumer is fed by the test: for what readers do with whatever comes, in whichever order. */
import type kafkajs from 'kafkajs'

type Listener = (event: { payload: unknown }) => void

export class CannedKafka {
  /** Consumers that were made. */
  consumers = 0
  readonly seeks: kafkajs.TopicPartitionOffset[] = []
  readonly #listeners = new Map<string, Listener>()
  readonly #ends: Readonly<Record<string, number>>
  #eachBatch: kafkajs.EachBatchHandler | undefined

  /** Topics of one partition, with where it ends. */
  constructor(ends: Readonly<Record<string, number>> = {}) {
    this.#ends = ends
  }

  get kafka(): kafkajs.Kafka {
    const consumer = () => {
      this.consumers++
      return this.#consumer()
    }
    return { consumer, admin: () => this.#admin() } as unknown as kafkajs.Kafka
  }

  /** Hands a batch over as kafkajs does; resolves when the reader has taken it. */
  async fetched(topic: string, keys: Readonly<Record<number, string>>, lastOffset: number): Promise<void> {
    const messages = Object.entries(keys).map(([offset, key]) => ({
      offset,
      timestamp: '0',
      key: Buffer.from(key),
    }))
    const batch = { topic, partition: 0, messages, lastOffset: () => String(lastOffset) }
    const payload = { batch, isStale: () => false, isRunning: () => true }
    await this.#eachBatch?.(payload as unknown as kafkajs.EachBatchPayload)
  }

  /** Says, as kafkajs does, that a fetch brought nothing but markers and aborted records. */
  passed(topic: string, lastOffset: number): void {
    const payload = { topic, partition: 0, batchSize: 0, lastOffset: String(lastOffset) }
    this.#listeners.get('batch')?.({ payload })
  }

  #consumer() {
    return {
      events: { GROUP_JOIN: 'join', CRASH: 'crash', END_BATCH_PROCESS: 'batch' },
      on: (event: string, listener: Listener) => void this.#listeners.set(event, listener),
      connect: async () => {},
      subscribe: async () => {},
      seek: (place: kafkajs.TopicPartitionOffset) => void this.seeks.push(place),
      run: async ({ eachBatch }: kafkajs.ConsumerRunConfig) => {
        this.#eachBatch = eachBatch
        this.#listeners.get('join')?.({ payload: {} })
      },
      disconnect: async () => {},
    }
  }

  #admin() {
    return {
      connect: async () => {},
      disconnect: async () => {},
      deleteGroups: async () => {},
      listTopics: async () => Object.keys(this.#ends),
      fetchTopicOffsets: async (topic: string) => [
        { partition: 0, low: '0', high: String(this.#ends[topic]), offset: String(this.#ends[topic]) },
      ],
      describeConfigs: async () => ({ resources: [] }),
    }
  }
}
