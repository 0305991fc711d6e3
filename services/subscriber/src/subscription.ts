/**
 * A member of a consumer group: join → lanes → (stop | failure) → drain → commit → leave.
 *
 * - GROUP_JOIN is the only truth about the assignment: lanes of lost partitions end, those of kept ones go on. They all
 *   end where the membership lapsed, or a generation went by unseen: another member may have been further.
 * - kafkajs's eachBatch only hands over, so that a slow handler holds up neither other partitions nor the heartbeat.
 * - Only what lanes have passed is committed, every second and at the end: a crash repeats at most what was passed
 *   since, and what ran. It is committed under the place in the group that the lanes were opened or kept in: a place
 *   that is no longer held commits nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { beginningAt } from '@sallyport/core/kafka/kafkajs-beginning'
import '@sallyport/core/kafka/kafkajs-aborted'
import '@sallyport/core/kafka/kafkajs-batches'
import '@sallyport/core/kafka/kafkajs-connection'
import '@sallyport/core/kafka/kafkajs-coordinator'
import '@sallyport/core/kafka/kafkajs-leaderless'
import '@sallyport/core/kafka/kafkajs-request-queue'
import '@sallyport/core/kafka/kafkajs-runner'
import { isContinuous, type Place, PlaceKeeper } from '@sallyport/core/kafka/kafkajs-place'
import { Steering } from '@sallyport/core/kafka/steering'
import { registryQuestions } from '@sallyport/core/registry-questions'
import { SchemaBook } from '@sallyport/core/schema-book'
import kafkajs from 'kafkajs'
import { Attempts } from './attempts.ts'
import { RecordDecoder } from './decode.ts'
import { Lane } from './lane.ts'
import { type CheckedOptions, checkOptions, type SchemaName, type SubscriberOptions } from './options.ts'

/** A subscription that runs. */
export interface Subscription {
  /** Resolves after `stop`; rejects when the subscription cannot go on. Watch it: nothing is handled afterwards. */
  readonly ended: Promise<void>
  /** Begins nothing new, waits for the handlers that run, commits, and leaves the group. */
  stop(): Promise<void>
}

const COMMIT_INTERVAL_MS = 1_000
const COMMIT_AGAIN_MS = 200
/** How long a fetch waits for the first record, and how late a pause takes effect at most; ms. */
const FETCH_WAIT_MS = 250
/** How long leaving the group may take before the connection is dropped, ms. */
const LEAVE_TIMEOUT_MS = 5_000
/** What only kafkajs's log tells: it then goes on from another offset. */
const ALARMING = /Offset out of range, resetting/

/**
 * Joins the group and hands its records to the handler. Resolves when the first assignment is there and it is settled
 * where the group begins. Throws `SP_SETTINGS` for wrong options, `SP_BROKER_UNREACHABLE` where the group cannot be
 * joined.
 */
export async function subscribe<S extends SchemaName>(options: SubscriberOptions<S>): Promise<Subscription> {
  const member = new Member(checkOptions(options))
  await member.start()
  return member
}

class Member<S extends SchemaName> implements Subscription {
  readonly #options: CheckedOptions<S>
  readonly #consumer: kafkajs.Consumer
  readonly #steering: Steering
  readonly #places = new PlaceKeeper()
  /** The one in which the lanes were opened or kept. */
  #place: Place | undefined
  readonly #attempts: Attempts<S>
  readonly #lanes = new Map<string, Lane>()
  readonly #joined = Promise.withResolvers<void>()
  #begun = false
  readonly #ended = Promise.withResolvers<void>()
  /** What was committed last, by lane. */
  readonly #committed = new WeakMap<Lane, number>()
  #committing: Promise<boolean> = Promise.resolve(true)
  #timer: NodeJS.Timeout | undefined
  #stopping: Promise<void> | undefined
  /** Lanes are drained and committed: whatever kafkajs is about to do, it shall be no member any more. */
  #leaving = false

  constructor(options: CheckedOptions<S>) {
    this.#options = options
    // It may reject while `start` awaits something else.
    this.#joined.promise.catch(() => {})
    const { url, headers, doubtMs } = options.registry
    const book = new SchemaBook(registryQuestions(url.replace(/\/+$/, ''), headers), doubtMs)
    const decoder = new RecordDecoder(options.schema, book.find)
    this.#attempts = new Attempts(options, decoder)
    this.#consumer = createClient(options).consumer({
      groupId: options.groupId,
      sessionTimeout: options.sessionTimeoutMs,
      heartbeatInterval: Math.round(options.sessionTimeoutMs / 10),
      maxWaitTimeInMs: FETCH_WAIT_MS,
      maxBytesPerPartition: options.partitionBytesMax,
      partitionAssigners: [
        beginningAt(
          { fromBeginning: options.start === 'earliest', settled: () => this.#begin() },
          this.#places.assigner(kafkajs.PartitionAssigners.roundRobin),
        ),
      ],
      allowAutoTopicCreation: false,
      readUncommitted: false,
      // As many as by default. What is told to leave while it crashes would start again.
      retry: { retries: 5, restartOnFailure: async () => !this.#leaving },
    })
    this.#steering = new Steering(this.#consumer)
  }

  get ended(): Promise<void> {
    return this.#ended.promise
  }

  async start(): Promise<void> {
    const consumer = this.#consumer
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => this.#assign(payload.memberAssignment))
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      if (this.#leaving) return
      this.#options.log('warn', 'the consumer stopped', {
        error: errorMessage(payload.error),
        restarts: payload.restart,
      })
      if (!payload.restart) this.#fail(unreachable(payload.error))
    })
    try {
      await consumer.connect()
      await consumer.subscribe({ topics: [...this.#options.topics], fromBeginning: true })
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        eachBatch: async payload => this.#handOver(payload),
      })
    } catch (error) {
      this.#fail(unreachable(error))
    }
    await this.#joined.promise
    if (this.#stopping === undefined) this.#timer = setInterval(() => this.#commit(), COMMIT_INTERVAL_MS)
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#leave().then(this.#ended.resolve)
    return this.#stopping
  }

  /** Ends as stopping does, and says why. */
  #fail(error: unknown): void {
    this.#joined.reject(error)
    // Before it has begun it is `subscribe` that rejects.
    if (!this.#begun) this.#ended.promise.catch(() => {})
    this.#stopping ??= this.#leave().then(() => this.#ended.reject(error))
  }

  async #leave(): Promise<void> {
    clearInterval(this.#timer)
    const lanes = [...this.#lanes.values()]
    await inTime(Promise.all(lanes.map(lane => lane.drain())), this.#options.stopTimeoutMs)
    await inTime(this.#commitLast(), LEAVE_TIMEOUT_MS)
    for (const lane of lanes) lane.end()
    this.#leaving = true
    await inTime(
      this.#consumer.disconnect().catch(() => {}),
      LEAVE_TIMEOUT_MS,
    )
  }

  #assign(assignment: Readonly<Record<string, number[]>>): void {
    // kafkajs's join goes on while it disconnects, may connect anew and succeed: only an exception makes it give up.
    if (this.#leaving) throw new Error('stopped before it had joined')
    const assigned = Object.entries(assignment).flatMap(([topic, partitions]) =>
      partitions.map(partition => ({ topic, partition, name: laneName(topic, partition) })),
    )
    const names = new Set(assigned.map(({ name }) => name))
    const [before, after] = [this.#place, this.#places.place]
    const isKept = before !== undefined && after !== undefined && isContinuous(before, after)
    this.#place = after
    for (const [name, lane] of this.#lanes) {
      if (isKept && names.has(name)) continue
      lane.end()
      this.#lanes.delete(name)
    }
    // What drains takes nothing new, and commits only what is still its own.
    if (this.#stopping !== undefined) return
    for (const { topic, partition, name } of assigned) {
      const lane = this.#lanes.get(name) ?? this.#openLane(topic, partition)
      this.#lanes.set(name, lane)
      lane.keep()
    }
    this.#options.log('debug', 'joined the group', { partitions: [...names] })
  }

  /** It is settled where the group begins: from now on nothing that comes is missed. */
  #begin(): void {
    this.#begun = true
    this.#joined.resolve()
  }

  #openLane(topic: string, partition: number): Lane {
    const place = [{ topic, partitions: [partition] }]
    return new Lane(
      topic,
      partition,
      {
        pass: (raw, signals) => this.#attempts.pass(raw, signals),
        failed: error => this.#fail(error),
        remade: (taken, end) =>
          this.#options.log(
            'error',
            'a topic was deleted and made again, or lost its end: it is read from its start',
            { topic, partition, taken, end },
          ),
      },
      {
        pause: () => this.#steering.pause(place),
        resume: () => this.#steering.resume(place),
        seek: offset => this.#steering.seek(topic, partition, offset),
      },
    )
  }

  #handOver({ batch, resolveOffset, isRunning, isStale }: kafkajs.EachBatchPayload): void {
    const last = batch.messages.at(-1)
    const lane = this.#lanes.get(laneName(batch.topic, batch.partition))
    if (last === undefined || lane === undefined || !isRunning() || isStale()) return
    lane.offer(batch.messages, Number(batch.lastOffset()) + 1, Number(batch.highWatermark))
    resolveOffset(last.offset)
  }

  /** Commits once more, until it succeeds or the member has left. */
  async #commitLast(): Promise<void> {
    while (!(await this.#commit()) && !this.#leaving) await sleep(COMMIT_AGAIN_MS)
  }

  /** Commits what the lanes have passed since. False: it failed, and the next one makes it good. */
  #commit(): Promise<boolean> {
    this.#committing = this.#committing.then(async () => {
      const place = this.#place
      const moved = [...this.#lanes.values()].flatMap(lane => {
        const { position } = lane
        return position === undefined || position === this.#committed.get(lane) ? [] : [{ lane, position }]
      })
      if (moved.length === 0 || place === undefined) return true
      const byTopic = Map.groupBy(moved, ({ lane }) => lane.topic)
      try {
        await place.commit(
          [...byTopic].map(([topic, lanes]) => ({
            topic,
            partitions: lanes.map(({ lane: { partition }, position }) => ({
              partition,
              offset: String(position),
            })),
          })),
        )
        for (const { lane, position } of moved) this.#committed.set(lane, position)
        return true
      } catch (error) {
        this.#options.log('debug', 'offsets were not committed', { error: errorMessage(error) })
        return false
      }
    })
    return this.#committing
  }
}

function createClient({ brokers, ssl, sasl, groupId, log }: CheckedOptions<SchemaName>): kafkajs.Kafka {
  return new kafkajs.Kafka({
    clientId: groupId,
    brokers: [...brokers],
    ...(ssl === undefined ? {} : { ssl }),
    ...(sasl === undefined ? {} : { sasl }),
    logLevel: kafkajs.logLevel.INFO,
    // kafkajs logs as errors what it retries by itself; what it gives up reaches us as an exception.
    logCreator: () => entry => {
      const { message, timestamp: _timestamp, logger: _logger, stack: _stack, ...fields } = entry.log
      log(ALARMING.test(message) ? 'error' : 'debug', message, fields)
    },
  })
}

function unreachable(cause: unknown): SallyportError {
  return new SallyportError(
    'SP_BROKER_UNREACHABLE',
    `the group cannot be joined or kept (${errorMessage(cause)}): check the brokers, the topics, the credentials, and the ACLs that the guide names`,
    { cause, retryable: true },
  )
}

function laneName(topic: string, partition: number): string {
  return `${topic}/${partition}`
}

/** Waits for work, but not for longer than this. */
async function inTime(work: Promise<unknown>, limitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>(resolve => {
    timer = setTimeout(resolve, limitMs)
  })
  await Promise.race([work, late])
  clearTimeout(timer)
}
