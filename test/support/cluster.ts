import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Daemon } from 'sallyport/broker/daemon'
import { REGISTRY_STOP_MS, startReadyKafka, startReadyRegistry } from 'sallyport/broker/jvm'
import { fetchJvmRuntime, findJava, type JvmRuntime } from 'sallyport/broker/jvm-runtime'
import {
  formatKafka,
  type KafkaNode,
  type Listener,
  LONE_BROKER_PROPERTIES,
  newClusterId,
} from 'sallyport/broker/kafka-server'
import { LogFile } from 'sallyport/broker/log-file'
import { freePort } from 'sallyport/broker/ports'
import { CCOMPAT_PATH } from 'sallyport/broker/registry-server'
import { CACHE_FOLDER } from 'sallyport/start/home'

/**
 * Real brokers and a real registry for tests: the same local JVMs that `npm start` runs, on free ports, with data
 * in a folder that goes with them. Nothing outlives the process that started them, even when it is killed.
 */

/** Three brokers side by side fit into this heap each, MiB. */
const CLUSTER_HEAP_MIB = 384
/** How long a broker may take to come up on a busy machine; one that was killed reads its log again. */
const READY_TIMEOUT_MS = 120_000
/** What a broker's log may take where it is kept, bytes; twice that with the older file. */
const KEPT_LOG_BYTES_MAX = 500 * 1024 * 1024

export interface ClusterRequest {
  readonly brokers: 1 | 3
  /** Kafka's own keys, over those that `npm start` uses. */
  readonly properties?: Readonly<Record<string, string>>
  /** Folders of each broker beside its own; partitions are spread over all of them. */
  readonly moreFolders?: readonly (readonly string[])[]
  /** Listeners of each broker beside its own, such as those behind a proxy. */
  readonly moreListeners?: readonly (readonly Listener[])[]
  /** Kafka's `transaction.version`; default its newest, 2. With 1 no end of a transaction bumps the epoch. */
  readonly transactionVersion?: 1 | 2
  /** False: none is started, and `registryUrl` leads nowhere until `startRegistry`; default true. */
  readonly withRegistry?: boolean
  /** Takes the brokers' data, settings and logs; default a folder that goes with the cluster. */
  readonly folder?: LastingFolder
}

/** A folder that outlives the cluster. */
export interface LastingFolder {
  readonly path: string
  /** A shell command for when nothing is left that could stop the cluster in order. */
  readonly onOrphan: string
}

interface PassingFolder extends LastingFolder {
  readonly goesWithCluster: true
}

/** A running cluster. Brokers are counted from 0. */
export interface Cluster {
  /** `host:port` of each broker, whether it runs or not. */
  readonly brokers: readonly string[]
  readonly registryUrl: string
  /** Ends a broker at once (SIGKILL) and waits until it is gone. */
  kill(broker: number): Promise<void>
  /** Starts a broker that was killed or stopped, on the same port with the same data, and waits until it answers. */
  restart(broker: number): Promise<void>
  /** The process id of a broker that runs. */
  pid(broker: number): number | undefined
  /** Freezes a broker (SIGSTOP): its connections stay open, and nothing answers. */
  pause(broker: number): void
  resume(broker: number): void
  stopRegistry(): Promise<void>
  /** Starts the registry again on the same port; its schemas are in Kafka. */
  startRegistry(): Promise<void>
  /** Ends everything, and removes the data unless the request named their folder. Idempotent. */
  stop(): Promise<void>
}

/** Starts brokers and a registry, and waits until they answer. */
export async function startCluster(request: ClusterRequest): Promise<Cluster> {
  const found = await findJava(process.env)
  if ('missing' in found) throw new Error(`tests need brokers of their own: ${found.missing}`)
  const runtime = await fetchJvmRuntime(CACHE_FOLDER, found.java, process.env)
  const folder = request.folder ?? passingFolder()
  const nodes = await planNodes(folder.path, request)
  const cluster = new JvmCluster(folder, runtime, nodes, await freePort())
  try {
    await cluster.start()
    if (request.withRegistry ?? true) await cluster.startRegistry()
  } catch (error) {
    await cluster.stop()
    throw error
  }
  return cluster
}

async function planNodes(folder: string, request: ClusterRequest): Promise<KafkaNode[]> {
  const nodeIds = Array.from({ length: request.brokers }, (_, i) => i + 1)
  const voters = await Promise.all(nodeIds.map(async nodeId => ({ nodeId, port: await freePort() })))
  return await Promise.all(
    nodeIds.map(async nodeId => ({
      nodeId,
      dataFolder: join(folder, `broker-${nodeId}`),
      moreFolders: request.moreFolders?.[nodeId - 1] ?? [],
      moreListeners: request.moreListeners?.[nodeId - 1] ?? [],
      features:
        request.transactionVersion === undefined ? {} : { 'transaction.version': request.transactionVersion },
      port: await freePort(),
      voters,
      properties: { ...(request.brokers === 1 ? LONE_BROKER_PROPERTIES : {}), ...request.properties },
    })),
  )
}

function passingFolder(): PassingFolder {
  const path = mkdtempSync(join(tmpdir(), 'sallyport-cluster-'))
  return { path, goesWithCluster: true, onOrphan: `rm -rf '${path}'` }
}

class JvmCluster implements Cluster {
  readonly brokers: readonly string[]
  readonly registryUrl: string
  readonly #folder: LastingFolder | PassingFolder
  readonly #runtime: JvmRuntime
  readonly #nodes: readonly KafkaNode[]
  readonly #registryPort: number
  readonly #logs: readonly LogFile[]
  readonly #registryLog: LogFile
  readonly #daemons: (Daemon | undefined)[]
  #registry: Daemon | undefined

  constructor(
    folder: LastingFolder | PassingFolder,
    runtime: JvmRuntime,
    nodes: readonly KafkaNode[],
    registryPort: number,
  ) {
    this.#folder = folder
    const logBytesMax = 'goesWithCluster' in folder ? undefined : KEPT_LOG_BYTES_MAX
    this.#runtime = runtime
    this.#nodes = nodes
    this.#registryPort = registryPort
    this.#logs = nodes.map(node => new LogFile(join(folder.path, `broker-${node.nodeId}.log`), logBytesMax))
    this.#registryLog = new LogFile(join(folder.path, 'registry.log'))
    this.#daemons = nodes.map(() => undefined)
    this.brokers = nodes.map(node => `127.0.0.1:${node.port}`)
    this.registryUrl = `http://127.0.0.1:${registryPort}${CCOMPAT_PATH}`
  }

  async start(): Promise<void> {
    const clusterId = newClusterId()
    await Promise.all(this.#nodes.map(node => formatKafka(node, clusterId, this.#runtime)))
    await Promise.all(this.#nodes.map((_, broker) => this.restart(broker)))
  }

  async kill(broker: number): Promise<void> {
    await this.#daemons[broker]?.stop(0)
    this.#daemons[broker] = undefined
  }

  async restart(broker: number): Promise<void> {
    await this.kill(broker)
    this.#daemons[broker] = await startReadyKafka(this.#nodes[broker] as KafkaNode, this.#runtime, {
      log: this.#logs[broker] as LogFile,
      timeoutMs: READY_TIMEOUT_MS,
      heapMib: CLUSTER_HEAP_MIB,
      onOrphan: this.#folder.onOrphan,
    })
  }

  pid(broker: number): number | undefined {
    return this.#daemons[broker]?.pid
  }

  pause(broker: number): void {
    this.#daemons[broker]?.signal('SIGSTOP')
  }

  resume(broker: number): void {
    this.#daemons[broker]?.signal('SIGCONT')
  }

  async stopRegistry(): Promise<void> {
    await this.#registry?.stop(REGISTRY_STOP_MS)
    this.#registry = undefined
  }

  async startRegistry(): Promise<void> {
    await this.stopRegistry()
    this.#registry = await startReadyRegistry(
      { port: this.#registryPort, bootstrap: this.brokers.join(',') },
      this.#runtime,
      { log: this.#registryLog },
    )
  }

  async stop(): Promise<void> {
    await this.stopRegistry()
    // The data goes as well, so nobody has to wait for an orderly end.
    await Promise.all(this.#daemons.map((_, broker) => this.kill(broker)))
    for (const log of [...this.#logs, this.#registryLog]) log.close()
    if ('goesWithCluster' in this.#folder) rmSync(this.#folder.path, { recursive: true, force: true })
  }
}
