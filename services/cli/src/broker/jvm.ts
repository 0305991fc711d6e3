import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SallyportError } from '@sallyport/core/errors'
import { ensurePrivate } from '../start/home.ts'
import type { Daemon } from './daemon.ts'
import { hasMetadata, metadataLost, startFailure } from './diagnose.ts'
import {
  fetchJvmRuntime,
  findJava,
  findProgram,
  isFetched,
  type JvmRuntime,
  KAFKA_VERSION,
} from './jvm-runtime.ts'
import {
  clusterIdOf,
  dataCorrupt,
  formatKafka,
  type KafkaNode,
  type KafkaRuntime,
  LONE_BROKER_PROPERTIES,
  newClusterId,
  startKafka,
} from './kafka-server.ts'
import { KeptAlive } from './kept-alive.ts'
import { LogFile } from './log-file.ts'
import { freePort, settlePort } from './ports.ts'
import { kafkaAnswers, registryAnswers, untilReady } from './readiness.ts'
import { APICURIO_VERSION, CCOMPAT_PATH, startRegistry } from './registry-server.ts'
import type { Availability, BrokerRequest, RunningBroker } from './way.ts'

/** How long a registry may take to come up once the broker answers. */
const REGISTRY_READY_TIMEOUT_MS = 60_000
/** Times that a registry which ends while it comes up is started. */
const REGISTRY_STARTS_MAX = 3
/** How long each may take to end before it is killed; a broker that is killed reads its log again next time. */
export const BROKER_STOP_MS = 15_000
export const REGISTRY_STOP_MS = 5_000
/** A broker of an earlier start that was killed may hold the data folder a moment longer. */
const LOCK_RETRIES_MAX = 5
const LOCK_RETRY_MS = 1_000

/** Whether Java is here, and Maven where something has to be fetched. */
export async function jvmAvailability(env: NodeJS.ProcessEnv, cacheFolder: string): Promise<Availability> {
  if (process.platform === 'win32') {
    return { usable: false, reason: 'a local JVM is not supported on Windows: use Docker' }
  }
  const found = await findJava(env)
  if ('missing' in found) return { usable: false, reason: found.missing }
  if (!isFetched(cacheFolder) && findProgram('mvn', env) === undefined) {
    return { usable: false, reason: 'Java is here, but there is no mvn in PATH to fetch Kafka with' }
  }
  return { usable: true, start: request => startJvmBroker(request, found.java) }
}

async function startJvmBroker(request: BrokerRequest, java: string): Promise<RunningBroker> {
  const { steps, signal } = request
  const fetch = () => fetchJvmRuntime(request.cacheFolder, java, request.env, signal)
  const runtime = isFetched(request.cacheFolder)
    ? await fetch()
    : await steps.step('fetching Apache Kafka and Apicurio Registry with Maven (150 MB, once)', fetch)
  const node = await planNode(request)
  const port = await settlePort({
    ...request.registryPort,
    name: 'schema registry',
    remedy: '--registry-port or SALLYPORT_REGISTRY_PORT',
  })
  await prepareData(node, request, runtime)
  const { broker, registry } = await steps.step('starting the Kafka broker and the schema registry', () =>
    startBoth(request, node, port, runtime),
  )
  return {
    way: 'jvm',
    description: `Apache Kafka ${KAFKA_VERSION} and Apicurio Registry ${APICURIO_VERSION} on the local Java`,
    connection: {
      brokers: [`127.0.0.1:${node.port}`],
      registryUrl: `http://127.0.0.1:${port}${CCOMPAT_PATH}`,
    },
    failed: Promise.race([broker.failed, registry.failed]),
    async stop() {
      await registry.stop(REGISTRY_STOP_MS)
      await broker.stop(BROKER_STOP_MS)
    },
  }
}

/**
 * Starts broker and registry, both or none. The registry waits for its broker by itself for a minute, so that it
 * can boot beside it; only after a crash, when the broker may have much to read again, it has to come second.
 */
async function startBoth(
  request: BrokerRequest,
  node: KafkaNode,
  registryPort: number,
  runtime: JvmRuntime,
): Promise<{ broker: KeptAlive; registry: KeptAlive }> {
  const giveUp = new AbortController()
  const signal = AbortSignal.any([request.signal, giveUp.signal])
  const say = (line: string) => request.steps.say(line)
  const log = new LogFile(join(request.home, 'logs', 'broker.log'))
  const registryLog = new LogFile(join(request.home, 'logs', 'registry.log'))
  const quick = wasEndedInOrder(node.dataFolder)
  const starting = KeptAlive.start(
    () => startReadyKafka(node, runtime, { log, timeoutMs: request.readyTimeoutMs, signal }),
    say,
  )
  const registryStarting = (quick ? Promise.resolve() : starting).then(() =>
    KeptAlive.start(
      () =>
        startReadyRegistry({ port: registryPort, bootstrap: `127.0.0.1:${node.port}` }, runtime, {
          log: registryLog,
          signal,
        }),
      say,
    ),
  )
  const parts = [starting, registryStarting] as const
  for (const part of parts) part.catch(() => giveUp.abort())
  const [broker, registry] = await Promise.allSettled(parts)
  if (broker.status === 'fulfilled' && registry.status === 'fulfilled') {
    return { broker: broker.value, registry: registry.value }
  }
  if (registry.status === 'fulfilled') await registry.value.stop(0)
  if (broker.status === 'fulfilled') await broker.value.stop(BROKER_STOP_MS)
  // The broker's reason comes first: a registry without a broker fails as well.
  throw broker.status === 'rejected' ? broker.reason : (registry as PromiseRejectedResult).reason
}

async function planNode(request: BrokerRequest): Promise<KafkaNode> {
  const port = await settlePort({
    ...request.brokerPort,
    name: 'Kafka broker',
    remedy: '--broker-port or SALLYPORT_BROKER_PORT',
  })
  return {
    nodeId: 1,
    dataFolder: join(request.home, 'kafka'),
    port,
    voters: [{ nodeId: 1, port: await freePort() }],
    properties: LONE_BROKER_PROPERTIES,
  }
}

/** Makes a new data folder, or sees that the one that is here is whole. */
async function prepareData(node: KafkaNode, request: BrokerRequest, runtime: KafkaRuntime): Promise<void> {
  const { home, signal, steps } = request
  ensurePrivate(home)
  const clusterId = rememberedClusterId(node, home)
  if (clusterId.isNew) {
    await steps.step('making a data folder for Kafka', () => formatKafka(node, clusterId.id, runtime, signal))
  } else {
    hasMetadata(node.dataFolder)
  }
  ensurePrivate(node.dataFolder)
}

/** Whether a data folder is new, or its broker was stopped rather than killed. */
function wasEndedInOrder(dataFolder: string): boolean {
  return existsSync(join(dataFolder, '.kafka_cleanshutdown')) || !hasMetadata(dataFolder)
}

/** The cluster id of a data folder, which must be the one that it was made with; a new one for a new folder. */
export function rememberedClusterId(
  node: Pick<KafkaNode, 'nodeId' | 'dataFolder'>,
  home: string,
): { id: string; isNew: boolean } {
  const file = join(home, 'cluster-id')
  const found = clusterIdOf(node)
  const id = found ?? newClusterId()
  if (found === undefined) {
    writeFileSync(file, `${id}\n`)
    return { id, isNew: true }
  }
  let remembered: string
  try {
    remembered = readFileSync(file, 'utf8').trim()
  } catch {
    writeFileSync(file, `${id}\n`)
    remembered = id
  }
  if (remembered !== id) {
    throw dataCorrupt(`it belongs to cluster ${id}, and ${file} says ${remembered}`, node.dataFolder)
  }
  return { id, isNew: false }
}

/** Starts a broker and waits until it answers. Throws what `startFailure` makes of its log otherwise. */
export async function startReadyKafka(
  node: KafkaNode,
  runtime: KafkaRuntime,
  options: { log: LogFile; timeoutMs: number; signal?: AbortSignal; heapMib?: number; onOrphan?: string },
): Promise<Daemon> {
  const used = hasMetadata(node.dataFolder)
  for (let attempt = 1; ; attempt++) {
    options.log.forget()
    const daemon = await startKafka(node, runtime, options)
    try {
      const ready = await untilReady(() => kafkaAnswers(node.port), {
        timeoutMs: options.timeoutMs,
        givenUp: () => daemon.ended !== undefined || (used && metadataLost(options.log.tail())),
        signal: options.signal,
      })
      if (ready && !(used && metadataLost(options.log.tail()))) return daemon
      if (used && metadataLost(options.log.tail())) {
        throw dataCorrupt('the record of its topics is damaged', node.dataFolder)
      }
      throw startFailure({
        name: 'broker',
        exit: daemon.ended === undefined ? undefined : await daemon.exited,
        tail: options.log.tail(),
        logPath: options.log.path,
        dataFolder: node.dataFolder,
      })
    } catch (error) {
      daemon.kill()
      await daemon.exited
      const held = error instanceof SallyportError && error.code === 'SP_ALREADY_RUNNING'
      if (!held || attempt > LOCK_RETRIES_MAX) throw error
      await sleep(LOCK_RETRY_MS, undefined, options.signal === undefined ? {} : { signal: options.signal })
    }
  }
}

/**
 * Starts a registry and waits until it answers with all its schemas. One that ends by itself meanwhile is started
 * again: on a busy machine Apicurio now and then dies of a NullPointerException while it boots.
 */
export async function startReadyRegistry(
  registry: { port: number; bootstrap: string },
  runtime: Pick<JvmRuntime, 'java' | 'app'>,
  options: { log: LogFile; signal?: AbortSignal },
): Promise<Daemon> {
  for (let attempt = 1; ; attempt++) {
    options.log.forget()
    const daemon = await startRegistry(registry, runtime, options.log)
    try {
      const ready = await untilReady(() => registryAnswers(`http://127.0.0.1:${registry.port}`), {
        timeoutMs: REGISTRY_READY_TIMEOUT_MS,
        givenUp: () => daemon.ended !== undefined,
        signal: options.signal,
      })
      if (ready) return daemon
      if (daemon.ended !== undefined && attempt < REGISTRY_STARTS_MAX) continue
      throw startFailure({
        name: 'schema registry',
        exit: daemon.ended === undefined ? undefined : await daemon.exited,
        tail: options.log.tail(),
        logPath: options.log.path,
        dataFolder: '',
      })
    } catch (error) {
      daemon.kill()
      await daemon.exited
      throw error
    }
  }
}
