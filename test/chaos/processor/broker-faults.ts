/** What happens to brokers: at any time, or in the midst of a transaction (see `broker-strike.ts`). */
import { renameSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import kafkajs from 'kafkajs'
import type { Cluster } from '../../support/cluster.ts'
import { coordinatorPartition } from '../../support/coordinator.ts'
import { rawAdmin } from '../../support/raw-kafka.ts'
import type { BrokerStruck, Targets } from './broker-strike.ts'
import { PARTITIONS } from './load.ts'
import { TopicLog } from './topic-log.ts'
import { transactionalId, WRITTEN } from './topics.ts'
import {
  decodeState,
  TRANSACTION_STATE_PARTITIONS,
  TRANSACTION_STATE_TOPIC,
  type TransactionState,
} from './transaction-state.ts'

/** How often the targets are looked up while a process is to strike, ms. */
const TARGETS_MS = 500
/** How long the coordinators' log is read for the end of a transaction that a strike was in, ms. */
const END_TIMEOUT_MS = 20_000

export class BrokerFaults {
  readonly #cluster: Cluster
  readonly #file: string
  readonly #states: TopicLog
  /** Of the transactional ids' last transactions, in the order of each id. */
  #recent: TransactionState[] = []

  /** `file` takes the targets. */
  constructor(cluster: Cluster, file: string) {
    this.#cluster = cluster
    this.#file = file
    this.#states = new TopicLog(cluster.brokers, TRANSACTION_STATE_TOPIC, TRANSACTION_STATE_PARTITIONS, true)
  }

  /** SIGKILL, and the start again after `ms`. */
  async die(broker: number, ms: number): Promise<void> {
    await this.#cluster.kill(broker)
    await sleep(ms)
    await this.#cluster.restart(broker)
  }

  /** Its port stays open and nothing answers. Returns whether others had taken over what it led by the end. */
  async freeze(broker: number, ms: number): Promise<boolean> {
    this.#cluster.pause(broker)
    try {
      await sleep(ms)
      return await this.#leadsNothing(broker)
    } finally {
      this.#cluster.resume(broker)
    }
  }

  /** Looks up the targets until `work` is done; it begins when they are there. */
  async withTargets<T>(work: () => Promise<T>): Promise<T> {
    await this.#writeTargets()
    let isDone = false
    const looking = (async () => {
      while (!isDone) {
        await sleep(TARGETS_MS)
        await this.#writeTargets().catch(() => {})
      }
    })()
    try {
      return await work()
    } finally {
      isDone = true
      await looking
    }
  }

  /** Brings a broker back that a process struck, after `ms`. */
  async recover({ broker, action }: BrokerStruck, ms: number): Promise<void> {
    await sleep(ms)
    if (action === 'freeze') this.#cluster.resume(broker)
    else await this.#cluster.restart(broker)
  }

  /** Whether a strike came after the coordinator had written down how the transaction ends, and before all knew it. */
  async wasEnding({ transactionalId: id, at }: BrokerStruck): Promise<boolean> {
    const deadline = Date.now() + END_TIMEOUT_MS
    for (;;) {
      await this.#states.advance().catch(() => {})
      this.#recent.push(...this.#states.takeCommitted().flatMap(record => decodeState(record) ?? []))
      const ending = isEndingAt(
        this.#recent.filter(state => state.transactionalId === id),
        at,
      )
      if (ending !== undefined || Date.now() > deadline) {
        await this.#states.close()
        this.#recent = []
        return ending ?? false
      }
      await sleep(TARGETS_MS)
    }
  }

  async #writeTargets(): Promise<void> {
    const topics = await this.#metadataOf(this.#cluster.brokers, [TRANSACTION_STATE_TOPIC, ...WRITTEN])
    const leaders = Object.fromEntries(
      topics.flatMap(({ name, partitions }) =>
        partitions.map(({ partitionId, leader }) => [`${name}/${partitionId}`, leader - 1] as const),
      ),
    )
    const coordinators = Object.fromEntries(
      Array.from({ length: PARTITIONS }, (_, partition) => {
        const id = transactionalId(partition)
        const place = `${TRANSACTION_STATE_TOPIC}/${coordinatorPartition(id, TRANSACTION_STATE_PARTITIONS)}`
        return [id, leaders[place] as number] as const
      }),
    )
    const pids = Object.fromEntries(
      this.#cluster.brokers.flatMap((_, broker) => {
        const pid = this.#cluster.pid(broker)
        return pid === undefined ? [] : [[broker, pid] as const]
      }),
    )
    // A process may read it at any moment: the file is whole or the one before.
    writeFileSync(`${this.#file}.next`, JSON.stringify({ pids, coordinators, leaders } satisfies Targets))
    renameSync(`${this.#file}.next`, this.#file)
  }

  async #leadsNothing(broker: number): Promise<boolean> {
    const others = this.#cluster.brokers.filter((_, other) => other !== broker)
    const topics = await this.#metadataOf(others, [EVENTS_TOPIC, ...WRITTEN]).catch(() => [])
    return (
      topics.length > 0 &&
      topics.every(({ partitions }) => partitions.every(({ leader }) => leader !== broker + 1))
    )
  }

  async #metadataOf(brokers: readonly string[], topics: string[]): Promise<kafkajs.ITopicMetadata[]> {
    const kafka = new kafkajs.Kafka({
      brokers: [...brokers],
      logLevel: kafkajs.logLevel.NOTHING,
      requestTimeout: 1_000,
      retry: { initialRetryTime: 50, retries: 10 },
    })
    return (await rawAdmin(kafka, admin => admin.fetchTopicMetadata({ topics }))).topics
  }
}

/** `states`: a transactional id's, in their order. Undefined while the transaction of that moment has not ended. */
export function isEndingAt(
  states: readonly Pick<TransactionState, 'status' | 'at'>[],
  at: number,
): boolean | undefined {
  const next = states.findIndex(state => state.at > at)
  if (next < 0) return undefined
  return (
    states[next - 1]?.status.startsWith('Prepare') === true &&
    states[next]?.status.startsWith('Complete') === true
  )
}
