/**
 * Reads a topic as its log has it, with requests of the protocol alone: no group, no position in the cluster, none
 * of the product's code. It reads uncommitted and decides by the transaction markers in the log which records were
 * committed, which aborted; that is what read_committed means, without believing any client's filter.
 */
import { type Broker, ConnectionPool, fetchV15, metadataV12 } from '@platformatic/kafka'
import { type LogRecord, type Marker, PartitionLog } from './partition-log.ts'

const FETCH_BYTES = 4_194_304
/** How long a topic is asked for whose brokers do not answer, ms. */
const READ_TIMEOUT_MS = 120_000

export class TopicLog {
  readonly topic: string
  readonly partitions: readonly PartitionLog[]
  readonly #brokers: readonly Broker[]
  #pool: ConnectionPool | undefined

  /** `keepsValues` as in `PartitionLog`. */
  constructor(brokers: readonly string[], topic: string, partitions: number, keepsValues = false) {
    this.topic = topic
    this.#brokers = brokers.map(broker => {
      const [host, port] = broker.split(':')
      return { host: host as string, port: Number(port) }
    })
    this.partitions = Array.from(
      { length: partitions },
      (_, partition) => new PartitionLog(topic, partition, keepsValues),
    )
  }

  /** Every record read so far, partition after partition. */
  get records(): LogRecord[] {
    return this.partitions.flatMap(({ records }) => records)
  }

  get committed(): LogRecord[] {
    return this.records.filter(({ state }) => state === 'committed')
  }

  get markers(): Marker[] {
    return this.partitions.flatMap(({ markers }) => markers)
  }

  /** The committed records that were not taken before, and forgets them and the markers. */
  takeCommitted(): LogRecord[] {
    return this.partitions.flatMap(partition => partition.takeCommitted())
  }

  /** Reads every partition on to its present end. Rejects while a leader is away; what was read stays. */
  async advance(): Promise<void> {
    try {
      const { topicId, leaders } = await this.#leaders()
      for (const [partition, leader] of leaders) await this.#advance(topicId, partition, leader)
    } catch (error) {
      await this.close()
      throw error
    }
  }

  async close(): Promise<void> {
    await this.#pool?.close().catch(() => {})
    this.#pool = undefined
  }

  async #leaders(): Promise<{ topicId: string; leaders: Map<number, Broker> }> {
    this.#pool ??= new ConnectionPool('chaos-reader', { connectTimeout: 2_000, requestTimeout: 10_000 })
    let failure: unknown
    for (const broker of this.#brokers) {
      try {
        const connection = await this.#pool.get(broker)
        const { brokers, topics } = await metadataV12.api.async(connection, [this.topic], false, false)
        const [topic] = topics
        if (topic === undefined) throw new Error(`${this.topic} does not exist`)
        const leaders = topic.partitions.map(({ partitionIndex, leaderId }) => {
          const leader = brokers.find(({ nodeId }) => nodeId === leaderId)
          if (leader === undefined) throw new Error(`${this.topic}/${partitionIndex} has no leader`)
          return [partitionIndex, { host: leader.host, port: leader.port }] as const
        })
        return { topicId: topic.topicId, leaders: new Map(leaders) }
      } catch (error) {
        failure = error
      }
    }
    throw failure
  }

  async #advance(topicId: string, partition: number, leader: Broker): Promise<void> {
    const log = this.partitions[partition] as PartitionLog
    const connection = await (this.#pool as ConnectionPool).get(leader)
    for (;;) {
      const wanted = {
        partition,
        currentLeaderEpoch: -1,
        fetchOffset: log.position,
        lastFetchedEpoch: -1,
        partitionMaxBytes: FETCH_BYTES,
      }
      const topics = [{ topicId, partitions: [wanted] }]
      const { responses } = await fetchV15.api.async(connection, 0, 0, FETCH_BYTES, 0, 0, -1, topics, [], '')
      const answer = responses[0]?.partitions[0]
      if (answer === undefined) throw new Error(`no answer for ${this.topic}/${partition}`)
      for (const batch of answer.records ?? []) log.take(batch)
      if (log.position >= answer.highWatermark) return
      if ((answer.records ?? []).length === 0) throw new Error(`${this.topic}/${partition} brings nothing`)
    }
  }
}

/** Reads a topic from its start to its end, however often a broker has to be asked again. */
export async function readTopic(
  brokers: readonly string[],
  topic: string,
  partitions: number,
  keepsValues = false,
): Promise<TopicLog> {
  const log = new TopicLog(brokers, topic, partitions, keepsValues)
  const deadline = Date.now() + READ_TIMEOUT_MS
  for (;;) {
    try {
      await log.advance()
      await log.close()
      return log
    } catch (error) {
      if (Date.now() > deadline) throw error
      await new Promise(resolve => setTimeout(resolve, 500))
    }
  }
}

/** Reads a topic until each transaction in it has ended: a commit is answered before its markers are written. */
export async function readEnded(
  brokers: readonly string[],
  topic: string,
  partitions: number,
): Promise<TopicLog> {
  for (;;) {
    const log = await readTopic(brokers, topic, partitions)
    if (log.records.every(({ state }) => state !== 'open')) return log
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}
