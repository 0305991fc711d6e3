/**
 * Where partitions end: the high watermark, and the last stable offset up to which read_committed consumers get. kafkajs
 * asks for the latter alone.
 */
import { Admin, FetchIsolationLevels } from '@platformatic/kafka'
import type { Connection } from '../connection.ts'

export interface PartitionEnd {
  readonly topic: string
  readonly partition: number
  /** One past the last record. */
  readonly highWatermark: number
  /** The first offset of a transaction that is open, else the high watermark. */
  readonly stableOffset: number
}

export class PartitionEnds {
  readonly #admin: Admin

  constructor(connection: Connection, clientId: string) {
    this.#admin = new Admin({
      clientId,
      bootstrapBrokers: [...connection.brokers],
      timeout: 5_000,
      retries: 1,
    })
  }

  /** Asks for some partitions of some topics. Rejects when the brokers do not answer. */
  async read(topics: readonly string[], partitions: readonly number[]): Promise<PartitionEnd[]> {
    // The stable offset first: whatever ends between the two questions makes the distance larger, never negative.
    const stable = await this.#list(topics, partitions, FetchIsolationLevels.READ_COMMITTED)
    const high = await this.#list(topics, partitions, FetchIsolationLevels.READ_UNCOMMITTED)
    return topics.flatMap(topic =>
      partitions.flatMap(partition => {
        const place = `${topic}/${partition}`
        const highWatermark = high.get(place)
        const stableOffset = stable.get(place)
        return highWatermark === undefined || stableOffset === undefined
          ? []
          : [{ topic, partition, highWatermark, stableOffset }]
      }),
    )
  }

  async close(): Promise<void> {
    await this.#admin.close()
  }

  async #list(
    topics: readonly string[],
    partitions: readonly number[],
    isolationLevel: 0 | 1,
  ): Promise<ReadonlyMap<string, number>> {
    const answer = await this.#admin.listOffsets({
      isolationLevel,
      topics: topics.map(name => ({
        name,
        partitions: partitions.map(partitionIndex => ({ partitionIndex, timestamp: -1n })),
      })),
    })
    return new Map(
      answer.flatMap(({ name, partitions }) =>
        partitions.map(
          ({ partitionIndex, offset }) => [`${name}/${partitionIndex}`, Number(offset)] as const,
        ),
      ),
    )
  }
}

/** Asks for one partition, on a connection of its own. */
export async function partitionEnd(
  connection: Connection,
  topic: string,
  partition: number,
): Promise<PartitionEnd | undefined> {
  const ends = new PartitionEnds(connection, 'sallyport-end')
  try {
    const [end] = await ends.read([topic], [partition])
    return end
  } finally {
    await ends.close()
  }
}
