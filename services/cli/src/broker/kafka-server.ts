import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { type Daemon, runToEnd, startDaemon } from './daemon.ts'
import type { LogFile } from './log-file.ts'

/** Heap of a development broker, MiB: 370 MB resident at 768 when busy, far less when idle. */
export const KAFKA_HEAP_MIB = 512
/**
 * C1 only and the serial collector: on two cores a broker listens after 1.8 s instead of 2.2 s, and development
 * traffic never needs more. `perfDisableSharedMem` keeps the JVM from mapping a file in /tmp.
 */
const JVM_FLAGS = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:+PerfDisableSharedMem']

/** The file in a log directory by which Kafka knows it. */
const META_FILE = 'meta.properties'

/** One controller of the quorum. */
export interface Voter {
  readonly nodeId: number
  readonly port: number
}

/** A listener of a node beside its own, on 127.0.0.1. */
export interface Listener {
  /** Kafka's name of it, in capitals. */
  readonly name: string
  readonly port: number
  /** The port that clients of this listener are told to connect to, such as that of a proxy in front of it. */
  readonly advertisedPort: number
  /** Brokers reach this node here; default false: on its own port. */
  readonly isForBrokers?: boolean
}

/** One broker that is its own controller. */
export interface KafkaNode {
  /** 1 and up. */
  readonly nodeId: number
  /** Kafka's `log.dirs`, the first of them. */
  readonly dataFolder: string
  /** The rest of `log.dirs`, on disks of their own. */
  readonly moreFolders?: readonly string[]
  /** Where clients connect, on 127.0.0.1. */
  readonly port: number
  /** Listeners beside `port`; default none. */
  readonly moreListeners?: readonly Listener[]
  /** Every controller, this node's own among them. */
  readonly voters: readonly Voter[]
  /** Feature levels that a new cluster begins with, such as `transaction.version`; default the newest of each. */
  readonly features?: Readonly<Record<string, number>>
  /** Kafka's own keys over those of `commonProperties`. */
  readonly properties?: Readonly<Record<string, string>>
}

/** What runs a broker: Java, and Kafka's class path. */
export interface KafkaRuntime {
  readonly java: string
  /** Folder of Kafka's jars. */
  readonly libs: string
}

/**
 * The settings that make a broker quick to start and right for development and tests, as Kafka's own keys.
 * Topics of the product name their retention and replication themselves; what is set here is for Kafka's own
 * topics and the registry's.
 *
 * - Replication follows the number of voters: 1 alone, 3 of three (min.insync.replicas one below).
 * - `log.retention.ms=-1`: the registry's journal is its memory and must not expire after Kafka's seven days.
 * - 10 partitions of the internal topics instead of 50: they are created on first use, while someone waits.
 */
export function commonProperties(voters: number): Record<string, string> {
  const replication = String(Math.min(3, voters))
  const minInSync = String(Math.max(1, Math.min(3, voters) - 1))
  return {
    'process.roles': 'broker,controller',
    'controller.listener.names': 'CONTROLLER',
    'auto.create.topics.enable': 'false',
    'default.replication.factor': replication,
    'min.insync.replicas': minInSync,
    'offsets.topic.replication.factor': replication,
    'offsets.topic.num.partitions': '10',
    'transaction.state.log.replication.factor': replication,
    'transaction.state.log.min.isr': minInSync,
    'transaction.state.log.num.partitions': '10',
    'share.coordinator.state.topic.replication.factor': replication,
    'share.coordinator.state.topic.min.isr': minInSync,
    'group.initial.rebalance.delay.ms': '0',
    'log.retention.ms': '-1',
    'num.network.threads': '2',
    'num.io.threads': '4',
    'num.recovery.threads.per.data.dir': '2',
  }
}

/**
 * For a broker without peers: after a kill it may register again only when its former session has run out, and
 * that wait is the longest part of a restart with the default of 9 s. With peers the default keeps a short pause
 * of the JVM from moving its leaders.
 */
export const LONE_BROKER_PROPERTIES = {
  'broker.session.timeout.ms': '3000',
  'broker.heartbeat.interval.ms': '500',
} as const

/** `server.properties` of a node that listens on 127.0.0.1 only. */
export function serverProperties(node: KafkaNode): string {
  const own = node.voters.find(voter => voter.nodeId === node.nodeId)
  if (own === undefined) throw new Error(`node ${node.nodeId} is none of its voters`)
  const properties = {
    ...commonProperties(node.voters.length),
    ...node.properties,
    'node.id': String(node.nodeId),
    'controller.quorum.voters': node.voters.map(voter => `${voter.nodeId}@127.0.0.1:${voter.port}`).join(','),
    ...listenerProperties(node, own.port),
    'log.dirs': [node.dataFolder, ...(node.moreFolders ?? [])].join(','),
  }
  return Object.entries(properties)
    .map(([key, value]) => `${key}=${value.replaceAll('\\', '\\\\')}\n`)
    .join('')
}

function listenerProperties(node: KafkaNode, controllerPort: number): Record<string, string> {
  const more = node.moreListeners ?? []
  const forClients = [{ name: 'PLAINTEXT', port: node.port, advertisedPort: node.port }, ...more]
  const all = [...forClients, { name: 'CONTROLLER', port: controllerPort }]
  return {
    listeners: all.map(({ name, port }) => `${name}://127.0.0.1:${port}`).join(','),
    'advertised.listeners': forClients
      .map(({ name, advertisedPort }) => `${name}://127.0.0.1:${advertisedPort}`)
      .join(','),
    'listener.security.protocol.map': all.map(({ name }) => `${name}:PLAINTEXT`).join(','),
    'inter.broker.listener.name': more.find(({ isForBrokers }) => isForBrokers)?.name ?? 'PLAINTEXT',
  }
}

/** A new cluster id, in Kafka's form: 16 random bytes as base64url, not beginning with a dash. */
export function newClusterId(): string {
  for (;;) {
    const id = randomBytes(16).toString('base64url')
    if (!id.startsWith('-')) return id
  }
}

/**
 * The cluster id that a data folder belongs to, or undefined when the folder is new. Throws `SP_DATA_CORRUPT`
 * when its meta.properties is none of Kafka's.
 */
export function clusterIdOf(node: Pick<KafkaNode, 'nodeId' | 'dataFolder'>): string | undefined {
  const file = join(node.dataFolder, META_FILE)
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw dataCorrupt(`${file} cannot be read (${errorMessage(error)})`, node.dataFolder, error)
  }
  const values = new Map(text.split(/\r?\n/).map(line => line.split('=', 2) as [string, string | undefined]))
  const clusterId = values.get('cluster.id') ?? ''
  if (!/^[\w-]{22}$/.test(clusterId) || !values.has('version')) {
    throw dataCorrupt(`${file} is not Kafka's`, node.dataFolder)
  }
  if (values.get('node.id') !== String(node.nodeId)) {
    throw dataCorrupt(`${file} belongs to another broker`, node.dataFolder)
  }
  return clusterId
}

/** The error for a data folder that the broker cannot use. */
export function dataCorrupt(what: string, dataFolder: string, cause?: unknown): SallyportError {
  return new SallyportError(
    'SP_DATA_CORRUPT',
    `the broker cannot use its data: ${what}; move ${dataFolder} away to start afresh (its events are lost to Sallyport then), or put back a good copy`,
    cause === undefined ? {} : { cause },
  )
}

/**
 * Makes a new data folder for a node, all or nothing: it is formatted under another name and renamed, so that a
 * kill in the middle leaves no half of one.
 */
export async function formatKafka(
  node: KafkaNode,
  clusterId: string,
  runtime: KafkaRuntime,
  signal?: AbortSignal,
): Promise<void> {
  const partial = `${node.dataFolder}.partial`
  const propertiesFile = `${partial}.properties`
  rmSync(partial, { recursive: true, force: true })
  mkdirSync(partial, { recursive: true, mode: 0o700 })
  writeFileSync(propertiesFile, serverProperties({ ...node, dataFolder: partial }))
  const { code, output } = await runToEnd(
    runtime.java,
    [
      ...JVM_FLAGS,
      '-cp',
      join(runtime.libs, '*'),
      'kafka.tools.StorageTool',
      'format',
      '--cluster-id',
      clusterId,
      '--config',
      propertiesFile,
      ...Object.entries(node.features ?? {}).flatMap(([name, level]) => ['--feature', `${name}=${level}`]),
    ],
    signal === undefined ? {} : { signal },
  )
  rmSync(propertiesFile, { force: true })
  if (code !== 0) throw new Error(`Kafka's storage tool failed: ${output.trim()}`)
  rmSync(node.dataFolder, { recursive: true, force: true })
  renameSync(partial, node.dataFolder)
}

/** Starts the broker of a formatted folder; it may not answer yet. */
export async function startKafka(
  node: KafkaNode,
  runtime: KafkaRuntime,
  options: { log: LogFile; heapMib?: number; onOrphan?: string },
): Promise<Daemon> {
  const propertiesFile = `${node.dataFolder}.properties`
  writeFileSync(propertiesFile, serverProperties(node))
  return await startDaemon({
    name: 'broker',
    command: runtime.java,
    args: [
      `-Xmx${options.heapMib ?? KAFKA_HEAP_MIB}m`,
      ...JVM_FLAGS,
      '-Djava.awt.headless=true',
      '-Dorg.slf4j.simpleLogger.logFile=System.out',
      '-Dorg.slf4j.simpleLogger.showDateTime=true',
      '-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS',
      '-Dorg.slf4j.simpleLogger.defaultLogLevel=info',
      // The whole configuration at every start: 500 lines that server.properties says better.
      '-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaConfig=warn',
      '-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config.AbstractConfig=warn',
      '-cp',
      join(runtime.libs, '*'),
      'kafka.Kafka',
      propertiesFile,
    ],
    log: options.log,
    ...(options.onOrphan === undefined ? {} : { onOrphan: options.onOrphan }),
  })
}
