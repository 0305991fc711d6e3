/**
 * Keeps one processor in its group: a stay that fails is followed by another, after a pause that grows while
 * stays are short. `start → stay → (failed → pause → stay)* → drained`. What is known of failing partitions outlives a stay.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { BrokerClock } from '@sallyport/core/clock'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import type { createKafka } from '@sallyport/core/kafka/client'
import type { PartitionEnd, PartitionEnds } from '@sallyport/core/kafka/partition-ends'
import type { SchemaRegistry } from '@sallyport/core/kafka/registry'
import type { TopicIdentity } from '@sallyport/core/kafka/topic-identity'
import type { ProducerCluster } from '@sallyport/core/kafka/transactions/producer-cluster'
import type { Log } from '@sallyport/core/log'
import { membershipsTotal } from '@sallyport/core/metrics'
import type { Settings } from '@sallyport/core/settings'
import { Breaker } from './breaker.ts'
import type { ProcessorConfig } from './config.ts'
import type { Gate } from './gate.ts'
import { discoverInputs } from './inputs.ts'
import { LagWatch } from './lag.ts'
import { type Ending, Membership } from './membership.ts'
import type { ProcessMemory } from './memory.ts'
import type { OutputTopic } from './outputs.ts'
import { PartitionHolds } from './partition-holds.ts'
import type { RestoreSchemas } from './restore.ts'
import { Slots } from './slots.ts'
import { TransactionSizes } from './transaction-size.ts'
import { holdSettings } from './windows.ts'

/** What a processor needs of Kafka and the registry, after provisioning. */
export interface ProcessorKafka {
  readonly client: ReturnType<typeof createKafka>
  /** What the producers of all tasks of the process share. */
  readonly producers: ProducerCluster
  /** What they learn of the brokers' time. */
  readonly brokerClock: BrokerClock
  /** For how long the brokers remember a transactional id that is not used, ms. */
  readonly transactionalIdsMs: number
  readonly registry: SchemaRegistry
  readonly schemas: RestoreSchemas
  readonly outputs: ReadonlyMap<string, OutputTopic>
  /** Where a partition ends; undefined where it has none. */
  endOf(topic: string, partition: number): Promise<PartitionEnd | undefined>
  /** Tells a topic from another one of its name. */
  identify(topic: string): Promise<TopicIdentity>
}

/** What decides whether a task may begin an attempt; shared by the tasks of a processor in this process. */
export interface Admission {
  readonly slots: Slots
  readonly gate: Gate
  readonly breaker: Breaker
  /** How much transactions take, by partition: they keep it over stays. */
  readonly sizes: TransactionSizes
}

const PAUSE_MS_MIN = 200
const PAUSE_MS_MAX = 5_000
/** A stay that lasted this long was a good one: the next pause is short again. */
const GOOD_STAY_MS = 30_000

export class ProcessorRuntime {
  readonly #processor: ProcessorConfig
  readonly #settings: Settings
  readonly #prepare: () => Promise<ProcessorKafka | undefined>
  readonly #admission: Admission
  readonly #memory: ProcessMemory
  readonly #holds: PartitionHolds
  readonly #lag: LagWatch
  readonly #log: Log
  readonly #stopping = new AbortController()
  #membership: Membership | undefined
  #pauseMs = PAUSE_MS_MIN

  /**
   * `prepare`: provisions, and waits for as long as that can help; undefined when stopped meanwhile. `processors`: how
   * many share the memory.
   */
  constructor(
    processor: ProcessorConfig,
    settings: Settings,
    prepare: () => Promise<ProcessorKafka | undefined>,
    ends: PartitionEnds,
    memory: ProcessMemory,
    processors: number,
    gate: Gate,
    log: Log,
  ) {
    this.#processor = processor
    this.#settings = settings
    this.#prepare = prepare
    this.#memory = memory
    const { attemptBytesMax, transactionTimeoutMs, transactionPartitionsMax } = settings.processing
    this.#holds = new PartitionHolds(holdSettings(settings, processor.sources), () => performance.now())
    this.#admission = {
      slots: new Slots(processor.concurrency, () =>
        Math.min(attemptBytesMax, memory.attemptsMax(processors)),
      ),
      gate,
      breaker: new Breaker(processor.name, processor.breaker, gate, log, () => performance.now()),
      sizes: new TransactionSizes(transactionTimeoutMs, transactionPartitionsMax),
    }
    this.#log = log
    this.#lag = new LagWatch(
      processor.name,
      settings.processing,
      ends,
      () => this.#membership?.progress ?? [],
      [processor.topics.claims, processor.topics.deadLetter, ...processor.outputs.keys()],
      log,
    )
    this.#lag.start()
  }

  /**
   * Stays in the group until drained. `onJoin` is called with every first assignment of a stay. Rejects with what no
   * waiting can mend; that is asked before every stay, because somebody may have changed the topics meanwhile.
   */
  async run(onJoin: () => void): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const kafka = await this.#prepare()
      if (kafka === undefined || this.#stopping.signal.aborted) return
      const startedAt = performance.now()
      const ending = await this.#stay(kafka, onJoin).catch(
        (error: unknown): Ending => ({ kind: 'failed', error }),
      )
      if (ending.kind === 'drained') return
      if (this.#stopping.signal.aborted) return this.#sayUnsettled(ending)
      await this.#pauseAfter(ending, performance.now() - startedAt)
    }
  }

  async #stay(kafka: ProcessorKafka, onJoin: () => void): Promise<Ending> {
    const inputs = await discoverInputs(this.#processor, kafka.client, this.#log)
    if (this.#stopping.signal.aborted) return { kind: 'drained' }
    const membership = new Membership(
      this.#processor,
      this.#settings,
      kafka,
      inputs,
      this.#admission,
      this.#memory,
      this.#holds,
      this.#log,
    )
    this.#membership = membership
    void membership.joinedOnce.then(onJoin)
    return await membership.stay()
  }

  /** Finishes what is in flight within `deadlineMs`, settles it and leaves the group. */
  async drain(deadlineMs: number): Promise<void> {
    this.#stopping.abort()
    await this.#membership?.drain(deadlineMs)
    this.#admission.breaker.stop()
    await this.#lag.stop()
  }

  #sayUnsettled({ error }: Extract<Ending, { kind: 'failed' }>): void {
    this.#log.error(
      { error: errorMessage(error) },
      'stopped before everything was settled; what was not settled is read again by the next owner',
    )
  }

  async #pauseAfter(ending: Extract<Ending, { kind: 'failed' }>, stayMs: number): Promise<void> {
    const cause = ending.error instanceof SallyportError ? ending.error.code : 'unknown'
    membershipsTotal.inc({ processor: this.#processor.name, cause })
    if (stayMs >= GOOD_STAY_MS) this.#pauseMs = PAUSE_MS_MIN
    this.#log.warn(
      { error: errorMessage(ending.error), pauseMs: this.#pauseMs },
      'left the group; starting from the last settled state',
    )
    await sleep(this.#pauseMs * (0.5 + Math.random() / 2), undefined, {
      signal: this.#stopping.signal,
    }).catch(() => {})
    this.#pauseMs = Math.min(this.#pauseMs * 2, PAUSE_MS_MAX)
  }
}
