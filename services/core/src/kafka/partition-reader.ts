/**
 * Reads a partition from one offset to another, or on and on: committed records only, without a consumer group, in
 * bounded memory (the next fetch is asked for when the last one has been taken).
 *
 * - Offsets between records (transaction markers, what the log cleaner removed) count as read, so a reader arrives at
 *   its end also where no record lies there.
 * - A leader that moves or a broker that dies is asked again elsewhere; `SP_BROKER_UNREACHABLE` comes when nothing
 *   helped for a while.
 * - Where retention overtakes a reader it goes on at the first offset that is kept.
 *
 * Source: Kafka protocol guide, Fetch version 12.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { fetchV12, listOffsetsV9, type ResponseError } from '@platformatic/kafka'
import type { Connection } from '../connection.ts'
import { errorMessage, SallyportError } from '../errors.ts'
import { AbortedTransactions } from './aborted-transactions.ts'
import type { PartitionBounds } from './admin.ts'
import { Cluster } from './cluster.ts'
import type { FetchedBatch, FetchedRecord } from './group-consumer.ts'
import { withinBatch } from './record.ts'

type FetchResponse = fetchV12.FetchResponse
type FetchedPartition = FetchResponse['responses'][number]['partitions'][number]
type LogBatch = NonNullable<FetchedPartition['records']>[number]

/** What a partition answers to a time. */
interface FoundOffset {
  readonly partition: number
  /** -1: no record is that late. */
  readonly offset: number
  /** When the record there was appended, ms since the epoch; -1 for an end of the partition. */
  readonly timestamp: number
}

export interface ReadRequest {
  readonly topic: string
  readonly partition: number
  readonly from: number
  /** One past the last offset to read; absent: it never ends by itself. */
  readonly until?: number
  readonly signal?: AbortSignal
}

const FETCH_WAIT_MS = 500
const FETCH_BYTES_MAX = 2 * 1_048_576
const REQUEST_TIMEOUT_MS = 10_000
const RETRY_MS = 100
/** Nothing but failures for this long is an error. */
const UNREACHABLE_MS = 15_000
const READ_COMMITTED = 1
/** Kafka's special times. */
const EARLIEST = -2
const LATEST = -1
const OFFSET_OUT_OF_RANGE = 1
const TRANSACTIONAL = 0x10
const CONTROL = 0x20
const LOG_APPEND_TIME = 0x08

export class PartitionReader {
  readonly #connection: Connection
  readonly #clientId: string
  /** One per topic: a long wait for one topic's records holds up no other. */
  readonly #clusters = new Map<string, Cluster>()

  constructor(connection: Connection, clientId: string) {
    this.#connection = connection
    this.#clientId = clientId
  }

  /** Partition → the offsets that it holds; the end is that of the last settled transaction. */
  async bounds(topic: string): Promise<ReadonlyMap<number, PartitionBounds>> {
    const [low, high] = [await this.#offsets(topic, EARLIEST), await this.#offsets(topic, LATEST)]
    return new Map(
      [...low].map(([partition, offset]) => [
        partition,
        { low: offset, high: high.get(partition) ?? offset },
      ]),
    )
  }

  /** Partition → offset of the first record that was appended at `at` (ms since the epoch) or later, else its end. */
  async offsetsAt(topic: string, at: number): Promise<ReadonlyMap<number, number>> {
    const [found, ends] = [await this.#offsets(topic, at), await this.#offsets(topic, LATEST)]
    return new Map(
      [...ends].map(([partition, end]) => [partition, Math.min(found.get(partition) ?? end, end)]),
    )
  }

  /** When the oldest record of a topic that is kept was appended, ms since the epoch; undefined where it has none. */
  async oldestAt(topic: string): Promise<number | undefined> {
    const times = (await this.#found(topic, 0)).map(({ timestamp }) => timestamp)
    return times.length === 0 ? undefined : Math.min(...times)
  }

  /** Batches in order; their `nextOffset` says how far the partition is read. Ends also when `signal` aborts. */
  async *read({ topic, partition, from, until, signal }: ReadRequest): AsyncGenerator<FetchedBatch> {
    const cluster = this.#cluster(topic)
    let offset = from
    while ((until === undefined || offset < until) && signal?.aborted !== true) {
      const at = offset
      const fetched = await persistently(cluster, topic, () => fetch(cluster, topic, partition, at), signal)
      if (fetched === undefined) return
      if (fetched.errorCode === OFFSET_OUT_OF_RANGE) {
        const low = (await this.#offsets(topic, EARLIEST)).get(partition) ?? 0
        // Not below what is kept, so beyond its end: nothing is there to be read.
        if (low <= offset) return
        offset = low
        continue
      }
      const batch = committed(topic, partition, offset, until, fetched)
      if (batch.nextOffset === offset) continue
      offset = batch.nextOffset
      yield batch
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#clusters.values()].map(cluster => cluster.close().catch(() => {})))
  }

  /** Partition → offset for a time; partitions without a record at or after it are left out. */
  async #offsets(topic: string, at: number): Promise<Map<number, number>> {
    return new Map((await this.#found(topic, at)).map(({ partition, offset }) => [partition, offset]))
  }

  async #found(topic: string, at: number): Promise<FoundOffset[]> {
    const cluster = this.#cluster(topic)
    const found = await persistently(cluster, topic, async () => {
      if (cluster.partitionsOf(topic) === 0) await cluster.refresh()
      const asked = Array.from({ length: cluster.partitionsOf(topic) }, (_, partition) =>
        offsetAt(cluster, topic, partition, at),
      )
      return await Promise.all(asked)
    })
    return found?.filter(({ offset }) => offset >= 0) ?? []
  }

  #cluster(topic: string): Cluster {
    let cluster = this.#clusters.get(topic)
    if (cluster === undefined) {
      cluster = new Cluster(this.#connection, this.#clientId, [topic], REQUEST_TIMEOUT_MS)
      this.#clusters.set(topic, cluster)
    }
    return cluster
  }
}

async function fetch(
  cluster: Cluster,
  topic: string,
  partition: number,
  offset: number,
): Promise<FetchedPartition> {
  const connection = await leader(cluster, topic, partition)
  const wanted = {
    partition,
    currentLeaderEpoch: -1,
    fetchOffset: BigInt(offset),
    lastFetchedEpoch: -1,
    partitionMaxBytes: FETCH_BYTES_MAX,
  }
  const asked = fetchV12.api.async(
    connection,
    FETCH_WAIT_MS,
    1,
    FETCH_BYTES_MAX,
    READ_COMMITTED,
    0,
    -1,
    [{ topicId: topic, partitions: [wanted] }],
    [],
    '',
  )
  const answer = await asked.catch((error: unknown) => {
    const { response } = error as ResponseError & { response?: FetchResponse }
    if (response?.responses[0]?.partitions[0]?.errorCode !== OFFSET_OUT_OF_RANGE) throw error
    return response
  })
  const fetched = answer.responses[0]?.partitions[0]
  if (fetched === undefined) throw new Error(`the broker said nothing of ${topic}/${partition}`)
  return fetched
}

async function offsetAt(
  cluster: Cluster,
  topic: string,
  partition: number,
  at: number,
): Promise<FoundOffset> {
  const connection = await leader(cluster, topic, partition)
  const wanted = { partitionIndex: partition, currentLeaderEpoch: -1, timestamp: BigInt(at) }
  const topics = [{ name: topic, partitions: [wanted] }]
  const answer = await listOffsetsV9.api.async(connection, -1, READ_COMMITTED, topics)
  const { offset = -1n, timestamp = -1n } = answer.topics[0]?.partitions[0] ?? {}
  return { partition, offset: Number(offset), timestamp: Number(timestamp) }
}

/** Does what a broker may refuse again and again, asking who leads in between; undefined when aborted meanwhile. */
async function persistently<T>(
  cluster: Cluster,
  topic: string,
  work: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T | undefined> {
  const startedAt = performance.now()
  while (signal?.aborted !== true) {
    try {
      return await work()
    } catch (error) {
      if (performance.now() - startedAt > UNREACHABLE_MS) throw unreachable(topic, error)
      await sleep(RETRY_MS, undefined, signal === undefined ? {} : { signal }).catch(() => {})
      await cluster.refresh().catch(() => {})
    }
  }
  return undefined
}

async function leader(cluster: Cluster, topic: string, partition: number) {
  if (cluster.leaderOf(topic, partition) === undefined) await cluster.refresh()
  const nodeId = cluster.leaderOf(topic, partition)
  if (nodeId === undefined) throw new Error(`${topic}/${partition} has no leader`)
  return await cluster.connectionTo(nodeId)
}

/** The committed records from `from` on, and how far they reach. */
function committed(
  topic: string,
  partition: number,
  from: number,
  until: number | undefined,
  fetched: FetchedPartition,
): FetchedBatch {
  const aborted = new AbortedTransactions(fetched.abortedTransactions ?? [])
  const records: FetchedRecord[] = []
  let nextOffset = from
  for (const batch of fetched.records ?? []) {
    const lastOffset = Number(batch.firstOffset) + batch.lastOffsetDelta
    aborted.reach(BigInt(lastOffset))
    if ((batch.attributes & CONTROL) !== 0) {
      aborted.control(batch.producerId, batch.records[0]?.key)
    } else if ((batch.attributes & TRANSACTIONAL) === 0 || !aborted.has(batch.producerId)) {
      for (const record of recordsOf(topic, partition, batch)) {
        if (record.offset >= from && (until === undefined || record.offset < until)) records.push(record)
      }
    }
    nextOffset = Math.max(nextOffset, lastOffset + 1)
  }
  return { topic, partition, records, nextOffset, highWatermark: Number(fetched.highWatermark) }
}

function* recordsOf(topic: string, partition: number, batch: LogBatch): Generator<FetchedRecord> {
  const { attributes, firstOffset, lastOffsetDelta, firstTimestamp, maxTimestamp } = batch
  for (const { offsetDelta, timestampDelta, key, value, headers } of batch.records) {
    const timestamp = (attributes & LOG_APPEND_TIME) !== 0 ? maxTimestamp : firstTimestamp + timestampDelta
    yield {
      topic,
      partition,
      offset: Number(firstOffset) + withinBatch(offsetDelta, lastOffsetDelta),
      timestamp: Number(timestamp),
      key,
      value,
      // A name that a foreign producer set more than once has its last value, as `headerText` reads it.
      headers: Object.fromEntries(headers.map(([name, text]) => [String(name), text])),
    }
  }
}

function unreachable(topic: string, cause: unknown): SallyportError {
  return new SallyportError(
    'SP_BROKER_UNREACHABLE',
    `${topic} cannot be read (${errorMessage(cause)}): check KAFKA_BROKERS and that the brokers run`,
    { cause, retryable: true },
  )
}
