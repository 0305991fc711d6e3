import { type Daemon, runToEnd, startDaemon } from './daemon.ts'
import { metadataLost, startFailure } from './diagnose.ts'
import { commonProperties, dataCorrupt, KAFKA_HEAP_MIB, LONE_BROKER_PROPERTIES } from './kafka-server.ts'
import type { LogFile } from './log-file.ts'
import { kafkaAnswers, registryAnswers, untilReady } from './readiness.ts'
import { registryEnvironment } from './registry-server.ts'

/** The label by which containers of a folder are found again. */
export const FOLDER_LABEL = 'dev.sallyport.folder'

/** What a container must know of the engine that runs it. */
export interface Engine {
  /** `--user` for containers that write into our folder; undefined where the engine maps owners by itself. */
  readonly user: string | undefined
}

/** Ports inside the containers' shared network. */
const INSIDE = { host: 9092, controller: 9093, registry: 8080, broker: 9094 } as const
/** Where Kafka's image keeps its data. */
const DATA_IN_CONTAINER = '/var/lib/kafka/data'
const REGISTRY_READY_TIMEOUT_MS = 60_000
const REMOVE_TIMEOUT_MS = 20_000

/** What both containers of a folder share. */
export interface ContainerPlan {
  readonly names: { readonly broker: string; readonly registry: string }
  readonly home: string
  readonly engine: Engine
  readonly env: NodeJS.ProcessEnv
  readonly signal: AbortSignal
  /** Ports on 127.0.0.1 of this machine. */
  readonly brokerPort: number
  readonly registryPort: number
  readonly image: string
}

/** Starts the broker's container and waits until it answers. */
export async function startReadyBrokerContainer(
  plan: ContainerPlan & { dataFolder: string; clusterId: string; used: boolean },
  options: { log: LogFile; timeoutMs: number },
): Promise<Daemon> {
  const environment = {
    ...kafkaEnvironment(plan.brokerPort),
    CLUSTER_ID: plan.clusterId,
    KAFKA_HEAP_OPTS: `-Xmx${KAFKA_HEAP_MIB}m -XX:TieredStopAtLevel=1`,
    // Kafka's own start script writes logs of its own here; its default belongs to the image's user.
    LOG_DIR: '/tmp/kafka-logs',
  }
  const daemon = await startContainer(plan, plan.names.broker, options.log, [
    '-p',
    `127.0.0.1:${plan.brokerPort}:${INSIDE.host}`,
    '-p',
    `127.0.0.1:${plan.registryPort}:${INSIDE.registry}`,
    '-v',
    `${plan.dataFolder}:${DATA_IN_CONTAINER}`,
    ...asUser(plan.engine.user),
    ...Object.entries(environment).flatMap(([name, value]) => ['-e', `${name}=${value}`]),
  ])
  const lost = () => plan.used && metadataLost(options.log.tail())
  return await readyOrGone(daemon, plan, {
    probe: () => kafkaAnswers(plan.brokerPort),
    timeoutMs: options.timeoutMs,
    givenUp: lost,
    failure: () => {
      if (lost()) return dataCorrupt('the record of its topics is damaged', plan.dataFolder)
      return startFailure({
        name: 'broker',
        exit: daemon.ended,
        tail: options.log.tail(),
        logPath: options.log.path,
        dataFolder: plan.dataFolder,
      })
    },
  })
}

/** Runs a container as us; Kafka's image writes its configuration into a folder that belongs to its own user. */
function asUser(user: string | undefined): string[] {
  if (user === undefined) return []
  const [uid, gid] = user.split(':')
  return ['--user', user, '--tmpfs', `/opt/kafka/config:uid=${uid},gid=${gid},mode=0755`]
}

/** Starts the registry's container, in the network of the broker's, and waits until it answers. */
export async function startReadyRegistryContainer(
  plan: ContainerPlan,
  options: { log: LogFile },
): Promise<Daemon> {
  const environment = {
    ...registryEnvironment(`localhost:${INSIDE.broker}`, '0.0.0.0', INSIDE.registry),
    // Every Java reads this one, however an image starts it.
    JAVA_TOOL_OPTIONS: '-XX:+UseSerialGC -XX:TieredStopAtLevel=1',
  }
  const daemon = await startContainer(plan, plan.names.registry, options.log, [
    '--network',
    `container:${plan.names.broker}`,
    ...Object.entries(environment).flatMap(([name, value]) => ['-e', `${name}=${value}`]),
  ])
  return await readyOrGone(daemon, plan, {
    probe: () => registryAnswers(`http://127.0.0.1:${plan.registryPort}`),
    timeoutMs: REGISTRY_READY_TIMEOUT_MS,
    givenUp: () => false,
    failure: () =>
      startFailure({
        name: 'schema registry',
        exit: daemon.ended,
        tail: options.log.tail(),
        logPath: options.log.path,
        dataFolder: '',
      }),
  })
}

/**
 * Kafka's settings as its images take them: `foo.bar` is `KAFKA_FOO_BAR`. Clients on this machine come by one
 * listener, the registry by another, because each is told to come back to an address that it can reach.
 */
function kafkaEnvironment(brokerPort: number): Record<string, string> {
  const properties: Record<string, string> = {
    ...commonProperties(1),
    ...LONE_BROKER_PROPERTIES,
    'node.id': '1',
    'controller.quorum.voters': `1@localhost:${INSIDE.controller}`,
    listeners: `HOST://:${INSIDE.host},INSIDE://localhost:${INSIDE.broker},CONTROLLER://localhost:${INSIDE.controller}`,
    'advertised.listeners': `HOST://127.0.0.1:${brokerPort},INSIDE://localhost:${INSIDE.broker}`,
    'listener.security.protocol.map': 'HOST:PLAINTEXT,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'inter.broker.listener.name': 'INSIDE',
    'log.dirs': DATA_IN_CONTAINER,
  }
  return Object.fromEntries(
    Object.entries(properties).map(([key, value]) => [
      `KAFKA_${key.toUpperCase().replaceAll('.', '_')}`,
      value,
    ]),
  )
}

/** A container as a guarded child: when we die, the guard removes it. */
async function startContainer(
  plan: ContainerPlan,
  name: string,
  log: LogFile,
  options: readonly string[],
): Promise<Daemon> {
  log.forget()
  const remove = ['rm', '-f', '-v', name]
  await runToEnd('docker', remove, { env: plan.env, timeoutMs: REMOVE_TIMEOUT_MS })
  return await startDaemon({
    name: name === plan.names.broker ? 'broker' : 'schema registry',
    command: 'docker',
    args: [
      'run',
      '--rm',
      '--pull',
      'never',
      '--name',
      name,
      '--label',
      `${FOLDER_LABEL}=${plan.home}`,
      ...options,
      plan.image,
    ],
    env: plan.env,
    log,
    onOrphan: `docker rm -f -v ${name}`,
    onKill: async () => {
      await runToEnd('docker', remove, { env: plan.env, timeoutMs: REMOVE_TIMEOUT_MS })
    },
  })
}

async function readyOrGone(
  daemon: Daemon,
  plan: ContainerPlan,
  wait: { probe: () => Promise<boolean>; timeoutMs: number; givenUp: () => boolean; failure: () => Error },
): Promise<Daemon> {
  try {
    const ready = await untilReady(wait.probe, {
      timeoutMs: wait.timeoutMs,
      givenUp: () => daemon.ended !== undefined || wait.givenUp(),
      signal: plan.signal,
    })
    if (ready && !wait.givenUp()) return daemon
    if (daemon.ended !== undefined) await daemon.exited
    throw wait.failure()
  } catch (error) {
    daemon.kill()
    await daemon.exited
    throw error
  }
}
