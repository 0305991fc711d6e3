/**
 * Reads every partition of some topics from given offsets, committed records only, and commits nothing: whoever reads
 * keeps its own positions. kafkajs has no `assign()`; a group with one member is one, and it goes with its reader.
 *
 * J1. A batch begins where the one before it ended; nothing is handed over twice, and nothing left out.
 * J2. Positions pass transaction markers and aborted records too, so that a position reaches the partition's end.
 * J3. The next batch is fetched when the last one was taken: a slow reader grows nothing.
 * J4. A broker that stays away ends the reading with `failed`, after about ten seconds.
 */
import { randomUUID } from 'node:crypto'
import type kafkajs from 'kafkajs'
import { errorMessage, SallyportError } from '../errors.ts'
import type { ReadHeaders } from '../headers.ts'
import { withAdmin } from './admin.ts'
import type { FetchedRecord } from './group-consumer.ts'

/** Topic → partition → the offset to go on from. */
export type ReadPositions = ReadonlyMap<string, ReadonlyMap<number, number>>

/** What one fetch brought of one partition. */
export interface ReadBatch {
  readonly topic: string
  readonly partition: number
  /** Where it begins; the first record may lie behind it. */
  readonly from: number
  /** Where the next one begins. */
  readonly next: number
  /** Empty where the partition held nothing but markers and aborted records. */
  readonly records: readonly FetchedRecord[]
}

export interface TopicReader {
  /** Rejects with `SP_BROKER_UNREACHABLE`, or with what `onBatch` threw; never resolves. */
  readonly failed: Promise<never>
  stop(): Promise<void>
}

const FETCH_WAIT_MS = 100
const HEARTBEAT_MS = 3_000

/** Resolves once the reading is under way. `name` says in the group's name who reads. */
export async function readTopics(
  kafka: kafkajs.Kafka,
  name: string,
  positions: ReadPositions,
  onBatch: (batch: ReadBatch) => Promise<void> | void,
): Promise<TopicReader> {
  const groupId = `sallyport-${name}-${randomUUID()}`
  const consumer = kafka.consumer({
    groupId,
    maxWaitTimeInMs: FETCH_WAIT_MS,
    allowAutoTopicCreation: false,
    retry: { initialRetryTime: 50, maxRetryTime: 1_000, retries: 12, restartOnFailure: async () => false },
  })
  const next = new Map([...positions].map(([topic, partitions]) => [topic, new Map(partitions)]))
  const joined = Promise.withResolvers<void>()
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => {})
  const fail = (cause: unknown): void => {
    const error = unreachable(cause)
    joined.reject(error)
    failed.reject(error)
  }

  async function take(topic: string, partition: number, end: number, records: readonly FetchedRecord[]) {
    const from = next.get(topic)?.get(partition)
    if (from === undefined) return
    next.get(topic)?.set(partition, end)
    try {
      await onBatch({ topic, partition, from, next: end, records })
    } catch (error) {
      failed.reject(error)
      // Nothing more may be taken: what this batch held is not kept.
      next.clear()
    }
  }

  consumer.on(consumer.events.GROUP_JOIN, () => {
    for (const [topic, partitions] of next) {
      for (const [partition, offset] of partitions) {
        consumer.seek({ topic, partition, offset: String(offset) })
      }
    }
    joined.resolve()
  })
  consumer.on(consumer.events.CRASH, ({ payload }) => fail(payload.error))
  consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
    // Only then has no batch been handed over.
    if (payload.batchSize === 0)
      void take(payload.topic, payload.partition, Number(payload.lastOffset) + 1, [])
  })
  try {
    await consumer.connect()
    await consumer.subscribe({ topics: [...positions.keys()], fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch, isStale, isRunning, heartbeat }) => {
        if (isStale() || !isRunning()) return
        const records = batch.messages.map(message => fetched(batch, message))
        // Whoever waits for the registry stays a member meanwhile.
        const beating = setInterval(() => void heartbeat().catch(() => {}), HEARTBEAT_MS)
        const end = Number(batch.lastOffset()) + 1
        await take(batch.topic, batch.partition, end, records).finally(() => clearInterval(beating))
      },
    })
    await joined.promise
  } catch (error) {
    await consumer.disconnect().catch(() => {})
    throw unreachable(error)
  }
  async function stop(): Promise<void> {
    next.clear()
    await consumer.disconnect().catch(() => {})
    await withAdmin(kafka, admin => admin.deleteGroups([groupId])).catch(() => {})
  }
  return { failed: failed.promise, stop }
}

function fetched(batch: kafkajs.Batch, message: kafkajs.KafkaMessage): FetchedRecord {
  const { topic, partition } = batch
  const { offset, timestamp, key, value, headers = {} } = message
  return {
    topic,
    partition,
    offset: Number(offset),
    timestamp: Number(timestamp),
    key,
    value,
    headers: headers as ReadHeaders,
  }
}

function unreachable(cause: unknown): SallyportError {
  if (cause instanceof SallyportError) return cause
  return new SallyportError(
    'SP_BROKER_UNREACHABLE',
    `Kafka no longer answers (${errorMessage(cause)}): check KAFKA_BROKERS and that the brokers run`,
    { cause, retryable: true },
  )
}
