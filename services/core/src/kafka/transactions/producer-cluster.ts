/**
 * What all transactional producers of a process share: who leads and who coordinates, the connections, and which version
 * of the transaction protocol the cluster has.
 *
 * To each broker there are at most four connections: one for metadata, one for coordinators, two that produce. A broker
 * carries out one request of a connection at a time, so the end of a transaction must not wait behind records.
 */
import { apiVersionsV4, type Broker, NetworkError, TimeoutError } from '@platformatic/kafka'
import type { Connection } from '../../connection.ts'
import { errorMessage } from '../../errors.ts'
import { Cluster, type ProducerIdentity } from '../cluster.ts'
import { errorName } from '../produce.ts'
import { DESCRIBE_PRODUCERS_KEY, DESCRIBE_TRANSACTIONS_KEY } from './describe.ts'
import { Fates } from './fate.ts'
import { exchange, type Request } from './request.ts'
import { findCoordinator, type TransactionVersion } from './requests.ts'
import { SharedConnections } from './shared-connections.ts'
import { failureOf, verdictOf } from './verdict.ts'

/** What a producer may rely on. */
export interface Abilities {
  /**
   * The version to speak: 2 where the cluster has finalised `transaction.version` 2 and runs Kafka 4.2 or newer, else 1.
   * Kafka 4.0 and 4.1 have version 2 without KIP-1228: there a marker that arrives late can still end the next
   * transaction, which version 1 with an epoch for each rules out.
   */
  readonly version: TransactionVersion
  /** Brokers tell what became of transactions (left-open.ts). */
  readonly describes: boolean
}

/** No answer for this long: the broker hangs, the connection is closed. */
const REQUEST_TIMEOUT_MS = 5_000
/** The first `metadata.version` of Kafka 4.2. Source: Apache Kafka, MetadataVersion.java. */
const METADATA_OF_4_2 = 28

export class ProducerCluster {
  readonly #cluster: Cluster
  readonly #coordinating: SharedConnections
  readonly #producing: SharedConnections
  readonly #fates = new Map<string, Fates>()

  constructor(connection: Connection, clientId: string) {
    this.#cluster = new Cluster(connection, clientId, [], REQUEST_TIMEOUT_MS)
    this.#coordinating = new SharedConnections(clientId, 1, REQUEST_TIMEOUT_MS)
    this.#producing = new SharedConnections(clientId, 2, REQUEST_TIMEOUT_MS)
  }

  /** The broker that leads a partition, as far as is known; the next `refresh` asks for its topic too. */
  leaderOf(topic: string, partition: number): Broker | undefined {
    const nodeId = this.#cluster.leaderOf(topic, partition)
    return nodeId === undefined ? undefined : this.#cluster.brokerOf(nodeId)
  }

  /** What tells a topic from another one of its name, as far as is known; the next `refresh` asks for it too. */
  topicIdOf(topic: string): string | undefined {
    return this.#cluster.topicIdOf(topic)
  }

  /** Asks who leads the partitions of all topics that were asked for so far, and of these; rejects as `Cluster` does. */
  async refresh(topics: readonly string[] = []): Promise<void> {
    await this.#cluster.refresh(topics)
  }

  /**
   * The broker that coordinates a transactional id or a group. Throws `TransactionError` where the cluster will never say,
   * another error where it does not say now.
   */
  async coordinatorOf(kind: 'transaction' | 'group', id: string): Promise<Broker> {
    const { code, host, port } = await this.#cluster.askAny(connection =>
      exchange(connection, findCoordinator(kind, id)),
    )
    const verdict = verdictOf(code)
    if (verdict === 'fenced' || verdict === 'failed') throw failureOf(verdict, 'FindCoordinator', code)
    if (verdict !== 'done') throw new Error(`the coordinator is not known: ${errorName(code)}`)
    return { host, port }
  }

  /** What this process was told of the transactions of an id, for as long as it runs. */
  fatesOf(transactionalId: string, version: TransactionVersion): Fates {
    const fates = this.#fates.get(transactionalId) ?? new Fates(version)
    this.#fates.set(transactionalId, fates)
    return fates
  }

  /** A producer id for records outside any transaction. */
  async newIdentity(): Promise<ProducerIdentity> {
    return await this.#cluster.newIdentity()
  }

  /** Sends a request to a coordinator. Throws `UnansweredError` when no answer comes. */
  async coordinate<T>(broker: Broker, request: Request<T>): Promise<T> {
    return await answered(broker, this.#coordinating, request)
  }

  /** Sends a request with records to a leader. Throws `UnansweredError` when no answer comes. */
  async produce<T>(broker: Broker, request: Request<T>): Promise<T> {
    return await answered(broker, this.#producing, request)
  }

  /** What the cluster can do. Rejects when no broker answers. */
  async abilities(): Promise<Abilities> {
    return await this.#cluster.askAny(async connection => {
      try {
        return abilitiesIn(await apiVersionsV4.api.async(connection, 'sallyport', '1'))
      } catch (error) {
        if (error instanceof NetworkError || error instanceof TimeoutError) throw error
        // A broker that does not know the request is older.
        return { version: 1, describes: false }
      }
    })
  }

  async close(): Promise<void> {
    await Promise.all([this.#cluster.close(), this.#coordinating.close(), this.#producing.close()])
  }
}

function abilitiesIn({ apiKeys, finalizedFeatures }: apiVersionsV4.ApiVersionsResponse): Abilities {
  const levelOf = (feature: string): number =>
    finalizedFeatures?.find(({ name }) => name === feature)?.maxVersionLevel ?? 0
  const isNew = levelOf('transaction.version') >= 2 && levelOf('metadata.version') >= METADATA_OF_4_2
  const knows = (key: number): boolean => apiKeys.some(({ apiKey }) => apiKey === key)
  return {
    version: isNew ? 2 : 1,
    describes: knows(DESCRIBE_TRANSACTIONS_KEY) && knows(DESCRIBE_PRODUCERS_KEY),
  }
}

async function answered<T>(broker: Broker, connections: SharedConnections, request: Request<T>): Promise<T> {
  try {
    return await connections.use(broker, connection => exchange(connection, request))
  } catch (error) {
    throw new UnansweredError(`${broker.host}:${broker.port}: ${errorMessage(error)}`, { cause: error })
  }
}

/** No answer came: the request may or may not have been carried out. */
export class UnansweredError extends Error {}
