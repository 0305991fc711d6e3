import './kafkajs-records.ts'
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs from 'kafkajs'
import { errorMessage, SallyportError } from '../errors.ts'
import { CLAIMS_DELETE_RETENTION_MS, type TopicSpec } from '../topics.ts'
import { protocolErrorType } from './client.ts'
import { UNKNOWN_OFFSET } from './kafkajs-leaderless.ts'

/** A setting of an existing topic that differs from its spec. */
export interface TopicDifference {
  readonly topic: string
  readonly setting: string
  readonly wanted: string
  readonly found: string
}

const REPLICATION_WANTED = 3
/** How often and how long a partition's leader is waited for. */
const LEADER_TRIES = 10
const LEADER_WAIT_MS = 200

/** Kafka's configuration keys of a spec. */
export function topicConfig(spec: TopicSpec, replication: number): Record<string, string> {
  const config: Record<string, string> = {
    'cleanup.policy': spec.cleanup,
    'retention.ms': String(spec.retentionMs),
    'max.message.bytes': String(spec.recordBytesMax),
    'message.timestamp.type': 'LogAppendTime',
    // The broker unpacks what a foreign producer packed: kafkajs cannot read lz4, snappy or zstd, and one such batch
    // would stop every reader of its partition for good.
    'compression.type': 'uncompressed',
    'min.insync.replicas': String(Math.max(1, replication - 1)),
  }
  if (spec.segmentMs !== undefined) config['segment.ms'] = String(spec.segmentMs)
  if (spec.cleanup === 'compact,delete') {
    config['min.cleanable.dirty.ratio'] = '0.1'
    config['delete.retention.ms'] = String(CLAIMS_DELETE_RETENTION_MS)
  }
  return config
}

/**
 * Creates the topics that are missing and compares the others: replication factor 3 where the cluster has three
 * brokers, min.insync.replicas one below it. Safe to run from many processes at once. Throws
 * `SP_PARTITION_COUNT` or `SP_TOPIC_MISMATCH` when a topic exists otherwise, `SP_BROKER_UNREACHABLE` (retryable).
 */
export async function ensureTopics(kafka: kafkajs.Kafka, specs: readonly TopicSpec[]): Promise<void> {
  await withAdmin(kafka, async admin => {
    const existing = new Set(await admin.listTopics())
    const missing = specs.filter(spec => !existing.has(spec.name))
    if (missing.length > 0) await createTopics(admin, missing)
    const present = specs.filter(spec => existing.has(spec.name))
    const differences = await compareTopics(admin, present)
    if (differences.length > 0) throw mismatch(differences)
  })
}

/** What is there of the topics, nothing changed. */
export interface TopicInspection {
  readonly missing: readonly string[]
  readonly differences: readonly TopicDifference[]
}

/** Compares the topics with their specs, and changes nothing. Throws `SP_BROKER_UNREACHABLE` (retryable). */
export async function inspectTopics(
  kafka: kafkajs.Kafka,
  specs: readonly TopicSpec[],
): Promise<TopicInspection> {
  return await withAdmin(kafka, async admin => {
    const existing = new Set(await admin.listTopics())
    return {
      missing: specs.map(({ name }) => name).filter(name => !existing.has(name)),
      differences: await compareTopics(
        admin,
        specs.filter(({ name }) => existing.has(name)),
      ),
    }
  })
}

/**
 * Sets the configuration of existing topics to their specs, but takes no room from them (`wantedConfig`); partition
 * counts cannot be changed this way.
 */
export async function alterTopics(
  kafka: kafkajs.Kafka,
  specs: readonly TopicSpec[],
): Promise<TopicDifference[]> {
  return await withAdmin(kafka, async admin => {
    const existing = new Set(await admin.listTopics())
    const present = specs.filter(spec => existing.has(spec.name))
    const differences = await compareTopics(admin, present)
    const counts = differences.filter(difference => difference.setting === 'partitions')
    if (counts.length > 0) throw mismatch(counts)
    const names = new Set(differences.map(difference => difference.topic))
    const found = await topicConfigs(admin, present)
    const replication = await replicationFactor(admin)
    const resources = present
      .filter(spec => names.has(spec.name))
      .map(spec => ({
        type: kafkajs.ConfigResourceTypes.TOPIC,
        name: spec.name,
        configEntries: Object.entries(wantedConfig(spec, replication, found)).map(([name, value]) => ({
          name,
          value,
        })),
      }))
    if (resources.length > 0) await admin.alterConfigs({ validateOnly: false, resources })
    return differences
  })
}

/** The names of all topics. */
export async function topicNames(admin: kafkajs.Admin): Promise<string[]> {
  return await admin.listTopics()
}

/** The offsets that a partition holds: the first kept, and one past the last committed. */
export interface PartitionBounds {
  readonly low: number
  readonly high: number
}

/**
 * Topic → partition → bounds. One topic after the other: asked for several at once, kafkajs's admin client may answer
 * one from metadata that another's request has just fetched without it, and throws.
 *
 * Of a partition without a leader nobody knows the bounds: throws `SP_BROKER_UNREACHABLE` (retryable) or, where
 * `leaderless` says so, leaves it out.
 */
export async function topicBounds(
  admin: kafkajs.Admin,
  topics: readonly string[],
  leaderless: 'refuse' | 'omit' = 'refuse',
): Promise<ReadonlyMap<string, ReadonlyMap<number, PartitionBounds>>> {
  const bounds = new Map<string, ReadonlyMap<number, PartitionBounds>>()
  for (const topic of topics) {
    const offsets = await admin.fetchTopicOffsets(topic)
    const known = offsets.filter(({ low, high }) => low !== UNKNOWN_OFFSET && high !== UNKNOWN_OFFSET)
    if (leaderless === 'refuse' && known.length < offsets.length) {
      throw new SallyportError(
        'SP_BROKER_UNREACHABLE',
        `a partition of ${topic} has no leader: check that the brokers run`,
        {
          retryable: true,
        },
      )
    }
    bounds.set(
      topic,
      new Map(known.map(({ partition, low, high }) => [partition, { low: Number(low), high: Number(high) }])),
    )
  }
  return bounds
}

/** Offset of a partition's first record that was appended at or after a time (ms since the epoch), else of its end. */
export async function offsetSince(
  admin: kafkajs.Admin,
  topic: string,
  partition: number,
  time: number,
): Promise<number | undefined> {
  const offsets = await admin.fetchTopicOffsetsByTimestamp(topic, Math.max(0, Math.floor(time)))
  const found = offsets.find(one => one.partition === partition)
  return found === undefined || found.offset === UNKNOWN_OFFSET ? undefined : Number(found.offset)
}

/** The offsets that a group committed for one partition of these topics; absent where it committed none. */
export async function groupOffsets(
  admin: kafkajs.Admin,
  groupId: string,
  topics: readonly string[],
  partition: number,
): Promise<ReadonlyMap<string, number>> {
  const committed = await admin.fetchOffsets({ groupId, topics: [...topics] })
  return new Map(
    committed.flatMap(({ topic, partitions }) =>
      partitions
        .filter(entry => entry.partition === partition && Number(entry.offset) >= 0)
        .map(entry => [topic, Number(entry.offset)] as const),
    ),
  )
}

/** Whether a group committed an offset of a topic. */
export async function hasCommitted(admin: kafkajs.Admin, groupId: string, topic: string): Promise<boolean> {
  const committed = await admin.fetchOffsets({ groupId, topics: [topic] })
  return committed.some(({ partitions }) => partitions.some(({ offset }) => Number(offset) >= 0))
}

/** The cluster's own name, which it keeps for life. */
export async function clusterId(kafka: kafkajs.Kafka): Promise<string> {
  return await withAdmin(kafka, async admin => (await admin.describeCluster()).clusterId)
}

const TRANSACTIONAL_IDS = 'transactional.id.expiration.ms'
/** Kafka's default: seven days. */
const TRANSACTIONAL_IDS_MS = 604_800_000

/**
 * For how long the brokers remember a transactional id that is not used, ms; Kafka's default where they do not say, as to
 * one who may not ask.
 */
export async function transactionalIdsMs(kafka: kafkajs.Kafka): Promise<number> {
  try {
    return await withAdmin(kafka, async admin => {
      const { brokers } = await admin.describeCluster()
      const { resources } = await admin.describeConfigs({
        includeSynonyms: false,
        resources: brokers.slice(0, 1).map(({ nodeId }) => ({
          type: kafkajs.ConfigResourceTypes.BROKER,
          name: String(nodeId),
          configNames: [TRANSACTIONAL_IDS],
        })),
      })
      const ms = Number(resources[0]?.configEntries[0]?.configValue)
      return ms > 0 ? ms : TRANSACTIONAL_IDS_MS
    })
  } catch {
    return TRANSACTIONAL_IDS_MS
  }
}

/** `retention.ms` of topics; Infinity where they keep everything. */
export async function topicRetentions(
  admin: kafkajs.Admin,
  topics: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: topics.map(name => ({
      type: kafkajs.ConfigResourceTypes.TOPIC,
      name,
      configNames: ['retention.ms'],
    })),
  })
  return new Map(
    resources.map(({ resourceName, configEntries }) => {
      const ms = Number(configEntries[0]?.configValue ?? -1)
      return [resourceName, ms < 0 ? Number.POSITIVE_INFINITY : ms]
    }),
  )
}

/**
 * Runs `work` with a connected admin client; connection troubles become `SP_BROKER_UNREACHABLE`. It may run again, with
 * another client: a broker that a partition was just given to may not know yet that it leads it, and kafkajs gives up.
 */
export async function withAdmin<T>(
  kafka: kafkajs.Kafka,
  work: (admin: kafkajs.Admin) => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await withOneAdmin(kafka, work)
    } catch (error) {
      if (tries === LEADER_TRIES || protocolErrorType(error) !== 'NOT_LEADER_FOR_PARTITION') throw error
      await sleep(LEADER_WAIT_MS)
    }
  }
}

async function withOneAdmin<T>(kafka: kafkajs.Kafka, work: (admin: kafkajs.Admin) => Promise<T>): Promise<T> {
  const admin = kafka.admin({ retry: { retries: 8, initialRetryTime: 50, maxRetryTime: 500 } })
  try {
    await admin.connect()
    return await work(admin)
  } catch (error) {
    if (error instanceof SallyportError) throw error
    throw new SallyportError(
      'SP_BROKER_UNREACHABLE',
      `Kafka does not answer (${errorMessage(error)}): check KAFKA_BROKERS and that the brokers run`,
      { cause: error, retryable: true },
    )
  } finally {
    await admin.disconnect().catch(() => {})
  }
}

async function replicationFactor(admin: kafkajs.Admin): Promise<number> {
  const { brokers } = await admin.describeCluster()
  return Math.min(REPLICATION_WANTED, brokers.length)
}

async function createTopics(admin: kafkajs.Admin, specs: readonly TopicSpec[]): Promise<void> {
  try {
    await requestTopics(admin, specs)
  } catch (error) {
    // Another process was faster with some of them: then they are there, which is what was asked for. Or they were
    // created, and the broker that was asked who leads them has not heard of them yet. Asked once more, kafkajs takes
    // those that are there for done.
    const isUnheardOf = protocolErrorType(error) === 'UNKNOWN_TOPIC_OR_PARTITION'
    if (!isUnheardOf && !createdByOthers(error)) throw error
    const existing = new Set(await admin.listTopics())
    const missing = specs.filter(spec => !existing.has(spec.name))
    if (missing.length > 0) await requestTopics(admin, missing)
  }
}

async function requestTopics(admin: kafkajs.Admin, specs: readonly TopicSpec[]): Promise<void> {
  const replication = await replicationFactor(admin)
  await admin.createTopics({
    waitForLeaders: true,
    topics: specs.map(spec => ({
      topic: spec.name,
      numPartitions: spec.partitions,
      replicationFactor: replication,
      configEntries: Object.entries(topicConfig(spec, replication)).map(([name, value]) => ({ name, value })),
    })),
  })
  await waitForLeaders(admin, specs)
}

/** Waits until each partition of new topics has a leader, as far as that is a matter of moments. */
async function waitForLeaders(admin: kafkajs.Admin, specs: readonly TopicSpec[]): Promise<void> {
  for (let tries = 1; tries <= LEADER_TRIES; tries++) {
    const metadata = await admin
      .fetchTopicMetadata({ topics: specs.map(({ name }) => name) })
      .catch(error => {
        // The broker that is asked has not heard of them yet.
        if (protocolErrorType(error) !== 'UNKNOWN_TOPIC_OR_PARTITION') throw error
      })
    if (metadata?.topics.every(({ partitions }) => partitions.every(({ leader }) => leader >= 0))) return
    await sleep(LEADER_WAIT_MS)
  }
}

function createdByOthers(error: unknown): boolean {
  const inner = (error as { errors?: unknown[] }).errors
  const errors = Array.isArray(inner) ? inner : [error]
  return errors.every(one => protocolErrorType(one) === 'TOPIC_ALREADY_EXISTS')
}

type TopicConfigs = ReadonlyMap<string, ReadonlyMap<string, string>>

/** Topic → setting → value. */
async function topicConfigs(admin: kafkajs.Admin, specs: readonly TopicSpec[]): Promise<TopicConfigs> {
  // kafkajs refuses to ask for nothing.
  if (specs.length === 0) return new Map()
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: specs.map(spec => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name: spec.name })),
  })
  return new Map(
    resources.map(({ resourceName, configEntries }) => [
      resourceName,
      new Map(configEntries.map(({ configName, configValue }) => [configName, configValue])),
    ]),
  )
}

/**
 * What an existing topic is to have: its spec, and never a smaller largest record than it has. One that was taken when
 * it was larger may still wait, and could then not be moved to its next tier or the dead letter, for ever.
 */
function wantedConfig(spec: TopicSpec, replication: number, found: TopicConfigs): Record<string, string> {
  const bytesMax = Number(found.get(spec.name)?.get('max.message.bytes') ?? 0)
  return topicConfig({ ...spec, recordBytesMax: Math.max(spec.recordBytesMax, bytesMax) }, replication)
}

/** Settings that follow the cluster's size, not sallyport.yaml: an operator may have chosen others. */
const NOT_COMPARED = new Set(['min.insync.replicas'])

async function compareTopics(admin: kafkajs.Admin, specs: readonly TopicSpec[]): Promise<TopicDifference[]> {
  if (specs.length === 0) return []
  const { topics } = await admin.fetchTopicMetadata({ topics: specs.map(spec => spec.name) })
  const configs = await topicConfigs(admin, specs)
  return specs.flatMap(spec => {
    const count = topics.find(topic => topic.name === spec.name)?.partitions.length ?? 0
    const found = configs.get(spec.name)
    const differences = Object.entries(wantedConfig(spec, REPLICATION_WANTED, configs))
      .filter(([setting, wanted]) => !NOT_COMPARED.has(setting) && found?.get(setting) !== wanted)
      .map(([setting, wanted]) => ({
        topic: spec.name,
        setting,
        wanted,
        found: found?.get(setting) ?? 'unset',
      }))
    return count === spec.partitions
      ? differences
      : [
          { topic: spec.name, setting: 'partitions', wanted: String(spec.partitions), found: String(count) },
          ...differences,
        ]
  })
}

function mismatch(differences: readonly TopicDifference[]): SallyportError {
  const list = differences
    .map(d => `${d.topic}: ${d.setting} is ${d.found}, settings say ${d.wanted}`)
    .join('; ')
  const counts = differences.some(difference => difference.setting === 'partitions')
  return counts
    ? new SallyportError(
        'SP_PARTITION_COUNT',
        `${list}. A count that just changes breaks dedupe: set topics.partitions to what exists, or run npx sallyport topics grow, which moves the claims`,
      )
    : new SallyportError('SP_TOPIC_MISMATCH', `${list}. Run: npx sallyport topics apply`)
}
