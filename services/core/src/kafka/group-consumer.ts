/**
 * A member of a consumer group whose topics are co-partitioned, as the tasks need it.
 *
 * - GROUP_JOIN is the only truth about the assignment: a leader change joins again without a REBALANCING event.
 *   Its listener runs synchronously: every assigned partition is paused before anything can be fetched.
 * - A batch whose partition has a seek pending is stale and is not handed over.
 * - kafkajs's eachBatch only hands over, and then paces the fetches: a slow one would block every partition of the
 *   broker, and the heartbeat.
 * - No offsets are committed here: the tasks' transactions do.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type kafkajs from 'kafkajs'
import { errorMessage, SallyportError } from '../errors.ts'
import type { ReadHeaders } from '../headers.ts'
import type { Log } from '../log.ts'
import { coPartitionedAssigner, inOrderOfArrival } from './assigner.ts'
import { FetchWait } from './fetch-wait.ts'
import { fetchingFor } from './kafkajs-fetch-wait.ts'
import { tellingOutOfRange } from './kafkajs-out-of-range.ts'
import { joiningAgain, type Rejoin } from './kafkajs-rejoin.ts'
import { Steering } from './steering.ts'

/** A record as it was read, nothing decoded. */
export interface FetchedRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** The broker's append time, ms since the epoch. */
  readonly timestamp: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: ReadHeaders
}

/** The records of one fetch of one partition. */
export interface FetchedBatch {
  readonly topic: string
  readonly partition: number
  readonly records: readonly FetchedRecord[]
  /** Offset from which the partition goes on. */
  readonly nextOffset: number
  /** One past the last record of the partition, as the broker said with this fetch. */
  readonly highWatermark: number
  /** Epoch of the leader that took the last record; absent where that is not known. */
  readonly leaderEpoch?: number
}

export interface GroupListener {
  /** A new assignment holds; every partition of it is paused. Runs synchronously. */
  joined(partitions: readonly number[]): void
  /** The partitions, which it got in this order, in the order in which they should move where some must. */
  inOrderOfMoving(partitions: readonly number[]): number[]
  /**
   * Takes a batch over, at once, or as much of it as it has room for: gives the offset from which the partition is to be
   * read on, the batch's `nextOffset` for all of it. Undefined: it is not wanted. What is not taken will be fetched again
   * once resumed.
   */
  fetched(batch: FetchedBatch): number | undefined
  /** A fetch brought nothing that is read: markers and aborted records, from one offset up to another. */
  passed(topic: string, partition: number, from: number, next: number): void
  /** The broker has no record where a partition is read, which is paused now. */
  outOfRange(topic: string, partition: number): void
  /** This member leads the group and has assigned the partitions; `settings` are those of all members. */
  assigned(settings: readonly string[]): void
  /** The member cannot go on. */
  failed(error: SallyportError): void
}

export interface GroupSettings {
  readonly groupId: string
  readonly topics: readonly string[]
  readonly sessionTimeoutMs: number
  /** What members of the group compare; see `assigned`. */
  readonly memberSettings: string
  /** Tells this process from the others of the group. */
  readonly process: string
  /** Most bytes that one fetch brings of one partition. */
  readonly partitionBytesMax: number
}

/**
 * Between the beginnings of two fetches from a broker, ms. A fetch names every partition and returns with the first
 * record: unpaced, a few hundred events a second keep both sides busy with fetching.
 */
const FETCH_PACE_MS = 10
/** Batches of one fetch that are handed over before any of them waits for the pace. */
const HAND_OVERS_MAX = 64
/** How long leaving the group may take before the connection is dropped, ms. */
const LEAVE_TIMEOUT_MS = 5_000

export class GroupConsumer {
  readonly #consumer: kafkajs.Consumer
  readonly #steering: Steering
  readonly #wait: FetchWait
  readonly #settings: GroupSettings
  readonly #listener: GroupListener
  readonly #log: Log
  #owned: readonly number[] = []
  /** When the last fetch began, by `performance.now()`. */
  #fetchedAt = 0
  #stopped = false
  readonly #rejoin: Rejoin = { isAsked: false }

  constructor(kafka: kafkajs.Kafka, settings: GroupSettings, listener: GroupListener, log: Log) {
    this.#settings = settings
    this.#listener = listener
    this.#log = log
    const heartbeatMs = Math.max(100, Math.round(settings.sessionTimeoutMs / 5))
    this.#wait = new FetchWait(heartbeatMs)
    this.#consumer = kafka.consumer({
      groupId: settings.groupId,
      sessionTimeout: settings.sessionTimeoutMs,
      heartbeatInterval: heartbeatMs,
      rebalanceTimeout: Math.max(settings.sessionTimeoutMs, 10_000),
      maxBytesPerPartition: settings.partitionBytesMax,
      partitionAssigners: [
        tellingOutOfRange(
          (topic, partition) => this.#outOfRange(topic, partition),
          fetchingFor(
            this.#wait,
            joiningAgain(
              this.#rejoin,
              coPartitionedAssigner({
                owned: () => listener.inOrderOfMoving(this.#owned),
                settings: settings.memberSettings,
                process: settings.process,
                onAssign: all => listener.assigned(all),
              }),
            ),
          ),
        ),
      ],
      allowAutoTopicCreation: false,
      readUncommitted: false,
      retry: {
        initialRetryTime: 50,
        multiplier: 1.5,
        maxRetryTime: 1_000,
        retries: 12,
        restartOnFailure: async () => false,
      },
    })
    this.#steering = new Steering(this.#consumer)
  }

  /** Joins the group. Returns when the first assignment is there, or after `failed` was called. */
  async start(): Promise<void> {
    const consumer = this.#consumer
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => this.#joined(payload.memberAssignment))
    consumer.on(consumer.events.CRASH, ({ payload }) => this.#failed(payload.error))
    consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
      const { topic, partition, batchSize, firstOffset, lastOffset } = payload
      // Only then was no batch handed over. The cleaner's empty batch has no first offset.
      if (this.#stopped || batchSize > 0 || firstOffset === null) return
      this.#listener.passed(topic, partition, Number(firstOffset), Number(lastOffset) + 1)
    })
    consumer.on(consumer.events.HEARTBEAT, () => this.#wait.beaten())
    consumer.on(consumer.events.FETCH_START, () => {
      this.#fetchedAt = performance.now()
    })
    try {
      await consumer.connect()
      await consumer.subscribe({ topics: [...this.#settings.topics], fromBeginning: true })
      // What was stopped meanwhile must not join: it would be a member that does nothing, until the process exits.
      if (this.#stopped) return await consumer.disconnect()
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: HAND_OVERS_MAX,
        eachBatch: async payload => {
          this.#handOver(payload)
          await sleep(Math.max(0, this.#fetchedAt + FETCH_PACE_MS - performance.now()))
        },
      })
    } catch (error) {
      this.#failed(error)
    }
  }

  /** Reads the partition of these topics from these offsets. */
  readFrom(partition: number, positions: ReadonlyMap<string, number>): void {
    if (this.#stopped) return
    for (const [topic, offset] of positions) this.#steering.seek(topic, partition, offset)
    this.resume(partition, [...positions.keys()])
  }

  /** Reads no more of these topics of the partition until it is told to. */
  pause(partition: number, topics: readonly string[]): void {
    if (this.#stopped) return
    for (const topic of topics) this.#wait.held(topic, partition)
    this.#steering.pause(topics.map(topic => ({ topic, partitions: [partition] })))
  }

  /** Reads no more of these topics of the partition as long as this assignment holds. */
  close(partition: number, topics: readonly string[]): void {
    this.pause(partition, topics)
    for (const topic of topics) this.#wait.released(topic, partition)
  }

  resume(partition: number, topics: readonly string[]): void {
    if (this.#stopped) return
    for (const topic of topics) this.#wait.released(topic, partition)
    this.#steering.resume(topics.map(topic => ({ topic, partitions: [partition] })))
  }

  /** Joins again with its next heartbeat, without leaving: a new assignment comes, in which most partitions stay. */
  joinAgain(): void {
    this.#rejoin.isAsked = true
  }

  /** Leaves the group, so that others take over at once. */
  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>(resolve => {
      timer = setTimeout(resolve, LEAVE_TIMEOUT_MS)
    })
    const { events } = this.#consumer
    const left = new Promise<void>(resolve => this.#consumer.on(events.STOP, () => resolve()))
    const disconnected = this.#consumer.disconnect().catch(() => {})
    // Behind it: kafkajs must know that it stops when the fetches end. What waits for their answers is the connection alone.
    this.#wait.end()
    await Promise.race([left, disconnected, late])
    clearTimeout(timer)
  }

  #joined(assignment: Record<string, number[]>): void {
    // Stopping does not stop kafkajs's first join, which may connect anew and succeed: only an exception makes it give up.
    if (this.#stopped) throw new Error('stopped before it had joined')
    this.#rejoin.isAsked = false
    this.#wait.releasedAll()
    const partitions = assignment[this.#settings.topics[0] as string] ?? []
    for (const partition of partitions) this.pause(partition, this.#settings.topics)
    this.#owned = inOrderOfArrival(this.#owned, partitions)
    this.#listener.joined(partitions)
  }

  #outOfRange(topic: string, partition: number): void {
    if (this.#stopped) return
    this.pause(partition, [topic])
    this.#listener.outOfRange(topic, partition)
  }

  #failed(cause: unknown): void {
    if (this.#stopped) return
    this.#log.debug({ error: errorMessage(cause) }, 'the consumer stopped')
    this.#listener.failed(
      new SallyportError(
        'SP_BROKER_UNREACHABLE',
        `the consumer stopped (${errorMessage(cause)}); it joins again`,
        {
          cause,
          retryable: true,
        },
      ),
    )
  }

  #handOver({ batch, resolveOffset, isStale, isRunning }: kafkajs.EachBatchPayload): void {
    const last = batch.messages.at(-1)
    if (last === undefined || this.#stopped || !isRunning() || isStale()) return
    this.#wait.moved()
    const { topic, partition } = batch
    const leaderEpoch = leaderEpochOf(last)
    const nextOffset = Number(batch.lastOffset()) + 1
    const next = this.#listener.fetched({
      ...(leaderEpoch === undefined ? {} : { leaderEpoch }),
      topic,
      partition,
      nextOffset,
      highWatermark: Number(batch.highWatermark),
      records: batch.messages.map(message => ({
        topic,
        partition,
        offset: Number(message.offset),
        timestamp: Number(message.timestamp),
        key: message.key,
        value: message.value,
        headers: (message.headers ?? {}) as ReadHeaders,
      })),
    })
    // With its last record kafkajs resolves what lies behind it in the batch, too.
    if (next !== undefined) resolveOffset(next >= nextOffset ? last.offset : String(next - 1))
  }
}

/** kafkajs hands it on, but its types do not say so. */
function leaderEpochOf(message: object): number | undefined {
  const { batchContext } = message as { batchContext?: { partitionLeaderEpoch?: number } }
  return batchContext?.partitionLeaderEpoch
}

/** A header's text; the last one where a foreign producer set it more than once, and none where that is null. */
export function headerText(headers: ReadHeaders, name: string): string | undefined {
  const value = headers[name]
  const one = Array.isArray(value) ? value.at(-1) : value
  return one?.toString()
}
