/**
 * What a producer or a reader knows of the cluster: who leads each partition of some topics, and a connection to each
 * leader.
 *
 * - C1. One connection per broker. A broker that hangs or dies fails its own connection and nobody else's.
 * - C2. Asking for metadata goes round the brokers: one that hangs is not asked twice in a row.
 * - C3. At most one request for metadata is under way; whoever asks meanwhile shares its answer, or waits for the next
 *   one where it does not ask for all of his topics.
 * - C4. A partition without a leader, or a topic that is not there, hides no other: the answer's rest is used.
 */
import {
  type Broker,
  ConnectionPool,
  initProducerIdV4,
  type Connection as KafkaConnection,
  metadataV12,
  type ResponseError,
} from '@platformatic/kafka'
import type { Connection } from '../connection.ts'
import { errorMessage } from '../errors.ts'

type MetadataResponse = metadataV12.MetadataResponse

/** The broker did not answer a question about the cluster within this time; the next one is asked. */
const QUESTION_TIMEOUT_MS = 1_500
const CONNECT_TIMEOUT_MS = 1_500
const NO_LEADER = -1

export interface ProducerIdentity {
  readonly producerId: bigint
  readonly epoch: number
}

export class Cluster {
  readonly #topics: Set<string>
  readonly #bootstrap: readonly Broker[]
  readonly #pool: ConnectionPool
  #brokers: ReadonlyMap<number, Broker> = new Map()
  /** Topic → leader by partition; none for a topic that is not there. */
  readonly #leaders = new Map<string, readonly number[]>()
  readonly #topicIds = new Map<string, string>()
  #next = 0
  #refreshing: Promise<void> | undefined
  /** What the request under way asks for. */
  #asked: ReadonlySet<string> = new Set()

  /** `requestTimeoutMs`: a connection on which an answer stays away longer is closed. */
  constructor(connection: Connection, clientId: string, topics: readonly string[], requestTimeoutMs: number) {
    this.#topics = new Set(topics)
    this.#bootstrap = connection.brokers.map(addressOf)
    this.#pool = new ConnectionPool(clientId, {
      connectTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: requestTimeoutMs,
      // Who sends bounds what is under way; here nothing may queue behind it.
      maxInflights: Number.MAX_SAFE_INTEGER,
    })
    this.#pool.on('connect', ({ connection }) => connection.on('error', ignore))
  }

  /** How many partitions a topic has; 0 before the first answer. */
  partitionsOf(topic: string): number {
    return this.#leaders.get(topic)?.length ?? 0
  }

  /** Node id of a partition's leader, as far as is known. The next `refresh` asks for its topic too. */
  leaderOf(topic: string, partition: number): number | undefined {
    const leaders = this.#leaders.get(topic)
    if (leaders === undefined) this.#topics.add(topic)
    const leader = leaders?.[partition]
    return leader === undefined || leader === NO_LEADER ? undefined : leader
  }

  /** What tells a topic from another one of its name, as far as is known. The next `refresh` asks for it too. */
  topicIdOf(topic: string): string | undefined {
    const topicId = this.#topicIds.get(topic)
    if (topicId === undefined) this.#topics.add(topic)
    return topicId
  }

  /** A connection to a broker; rejects where there is none to be had. */
  async connectionTo(nodeId: number): Promise<KafkaConnection> {
    const broker = this.brokerOf(nodeId)
    if (broker === undefined) throw new Error(`broker ${nodeId} is not in the cluster's metadata`)
    return await this.#pool.get(broker)
  }

  /** Where a broker listens, as far as is known. */
  brokerOf(nodeId: number): Broker | undefined {
    return this.#brokers.get(nodeId)
  }

  /**
   * Asks who leads the partitions of all topics that were asked for so far, and of these. Rejects when the broker that
   * was asked does not answer, with `MissingTopicError` when it does not know one of them.
   */
  refresh(topics: readonly string[] = []): Promise<void> {
    for (const topic of topics) this.#topics.add(topic)
    if (this.#refreshing !== undefined && topics.some(topic => !this.#asked.has(topic))) {
      const again = (): Promise<void> => this.refresh(topics)
      return this.#refreshing.then(again, again)
    }
    this.#refreshing ??= this.#askForMetadata().finally(() => {
      this.#refreshing = undefined
    })
    return this.#refreshing
  }

  /** A producer id of our own; any broker gives them out. */
  async newIdentity(): Promise<ProducerIdentity> {
    const { producerId, producerEpoch } = await this.askAny(connection =>
      initProducerIdV4.api.async(connection, null, QUESTION_TIMEOUT_MS),
    )
    return { producerId, epoch: producerEpoch }
  }

  /** Asks one broker after the other, a call each, what all of them know (C2). */
  async askAny<T>(ask: (connection: KafkaConnection) => Promise<T>): Promise<T> {
    const connection = await this.#anyBroker()
    return await this.#question(connection, ask(connection))
  }

  async close(): Promise<void> {
    await this.#pool.close()
  }

  async #askForMetadata(): Promise<void> {
    const asked = new Set(this.#topics)
    this.#asked = asked
    const { brokers, topics } = await this.askAny(connection =>
      metadataV12.api.async(connection, [...asked], false, false).catch(partialAnswer<MetadataResponse>),
    )
    this.#brokers = new Map(brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]))
    for (const { name, topicId, partitions } of topics) {
      const leaders: number[] = []
      for (const { partitionIndex, leaderId } of partitions) leaders[partitionIndex] = leaderId
      if (typeof name !== 'string') continue
      this.#leaders.set(name, leaders)
      if (partitions.length > 0) this.#topicIds.set(name, topicId)
      else this.#topicIds.delete(name)
    }
    const missing = [...asked].find(topic => this.partitionsOf(topic) === 0)
    if (missing !== undefined) throw new MissingTopicError(`${missing} does not exist`)
  }

  /** A connection to one broker after the other (C2). */
  async #anyBroker(): Promise<KafkaConnection> {
    const brokers = [...this.#brokers.values(), ...this.#bootstrap]
    let failure: unknown
    for (let i = 0; i < brokers.length; i++) {
      try {
        return await this.#pool.get(brokers[this.#next % brokers.length] as Broker)
      } catch (error) {
        failure = error
        this.#next++
      }
    }
    throw failure
  }

  async #question<T>(connection: KafkaConnection, asked: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`${connection.host}:${connection.port} does not answer`)),
        QUESTION_TIMEOUT_MS,
      )
    })
    try {
      return await Promise.race([asked, late])
    } catch (error) {
      this.#next++
      throw new Error(reasonOf(error), { cause: error })
    } finally {
      clearTimeout(timer)
    }
  }
}

/** A broker answered, and does not know one of the topics; what it says of the others was taken. */
export class MissingTopicError extends Error {}

/** A partition in trouble makes the library throw; what the answer says of the others still counts. */
export function partialAnswer<T>(error: unknown): T {
  const { response } = error as ResponseError & { response?: T }
  if (response === undefined) throw error
  return response
}

/** What a broker said, without the wrapping of the library's errors. */
function reasonOf(error: unknown): string {
  const inner = (error as { errors?: unknown[] }).errors?.[0]
  return errorMessage(inner ?? error)
}

function addressOf(broker: string): Broker {
  const colon = broker.lastIndexOf(':')
  if (colon === -1) return { host: broker, port: 9092 }
  return { host: broker.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(broker.slice(colon + 1)) }
}

function ignore(): void {}
