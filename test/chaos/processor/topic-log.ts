/**
 * Reads a topic as its log has it, with requests of the protocol alone: no group, no position in the cluster, none
 * of the product's code. It reads uncommitted and decides by the transaction markers in the log which records were
 * committed, which aborted; that is what read_committed means, without believing any client's filter.
 */
import { type Broker, ConnectionPool, fetchV15, metadataV12 } from '@platformatic/kafka'

/** A record of a topic. `state` is `open` while its transaction has no end. */
export interface LogRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
  readonly key: string
  readonly value: Buffer | null
  readonly headers: Readonly<Record<string, string>>
  /** `producer id/epoch` of a transaction's records. */
  readonly producer: string | null
  state: 'committed' | 'aborted' | 'open'
}

type Batch = NonNullable<fetchV15.FetchResponsePartition['records']>[number]

interface PartitionState {
  position: bigint
  readonly records: LogRecord[]
  /** Open transactions by producer id. */
  readonly open: Map<bigint, LogRecord[]>
}

const TRANSACTIONAL = 1 << 4
const CONTROL = 1 << 5
const COMMIT = 1
const FETCH_BYTES = 4_194_304
const NO_VALUE = Buffer.alloc(0)
/** How long a topic is asked for whose brokers do not answer, ms. */
const READ_TIMEOUT_MS = 120_000

export class TopicLog {
  readonly topic: string
  readonly partitions: readonly PartitionState[]
  readonly #brokers: readonly Broker[]
  readonly #keepsValues: boolean
  #pool: ConnectionPool | undefined

  /** `keepsValues`: else every value that is there is an empty one; millions of records fit into memory then. */
  constructor(brokers: readonly string[], topic: string, partitions: number, keepsValues = false) {
    this.topic = topic
    this.#keepsValues = keepsValues
    this.#brokers = brokers.map(broker => {
      const [host, port] = broker.split(':')
      return { host: host as string, port: Number(port) }
    })
    this.partitions = Array.from({ length: partitions }, () => ({
      position: 0n,
      records: [],
      open: new Map(),
    }))
  }

  /** Every record read so far, partition after partition. */
  get records(): LogRecord[] {
    return this.partitions.flatMap(({ records }) => records)
  }

  get committed(): LogRecord[] {
    return this.records.filter(({ state }) => state === 'committed')
  }

  /** The committed records that were not taken before, and forgets them. */
  takeCommitted(): LogRecord[] {
    return this.partitions.flatMap(({ records }) => {
      const taken = records.filter(({ state }) => state === 'committed')
      const open = records.filter(({ state }) => state === 'open')
      records.splice(0, records.length, ...open)
      return taken
    })
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
    const state = this.partitions[partition] as PartitionState
    const connection = await (this.#pool as ConnectionPool).get(leader)
    for (;;) {
      const wanted = {
        partition,
        currentLeaderEpoch: -1,
        fetchOffset: state.position,
        lastFetchedEpoch: -1,
        partitionMaxBytes: FETCH_BYTES,
      }
      const topics = [{ topicId, partitions: [wanted] }]
      const { responses } = await fetchV15.api.async(connection, 0, 0, FETCH_BYTES, 0, 0, -1, topics, [], '')
      const answer = responses[0]?.partitions[0]
      if (answer === undefined) throw new Error(`no answer for ${this.topic}/${partition}`)
      for (const batch of answer.records ?? []) this.#take(partition, state, batch)
      if (state.position >= answer.highWatermark) return
      if ((answer.records ?? []).length === 0) throw new Error(`${this.topic}/${partition} brings nothing`)
    }
  }

  #take(partition: number, state: PartitionState, batch: Batch): void {
    const next = batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n
    if (next <= state.position) return
    const { producerId } = batch
    if ((batch.attributes & CONTROL) !== 0) {
      const outcome = batch.records[0]?.key?.readInt16BE(2) === COMMIT ? 'committed' : 'aborted'
      for (const record of state.open.get(producerId) ?? []) record.state = outcome
      state.open.delete(producerId)
    } else {
      const inTransaction = (batch.attributes & TRANSACTIONAL) !== 0
      const records = batch.records
        .filter(({ offsetDelta }) => batch.firstOffset + BigInt(offsetDelta) >= state.position)
        .map((record): LogRecord => {
          const headers = record.headers.map(([name, value]) => [String(name), String(value ?? '')] as const)
          return {
            topic: this.topic,
            partition,
            offset: Number(batch.firstOffset) + record.offsetDelta,
            timestamp: Number(batch.maxTimestamp),
            key: String(record.key),
            value: this.#keepsValues || record.value === null ? record.value : NO_VALUE,
            headers: Object.fromEntries(headers),
            producer: inTransaction ? `${producerId}/${batch.producerEpoch}` : null,
            state: inTransaction ? 'open' : 'committed',
          }
        })
      state.records.push(...records)
      if (inTransaction) state.open.set(producerId, [...(state.open.get(producerId) ?? []), ...records])
    }
    state.position = next
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
