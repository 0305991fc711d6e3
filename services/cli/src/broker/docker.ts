import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { ensurePrivate } from '../start/home.ts'
import { runToEnd } from './daemon.ts'
import { hasMetadata } from './diagnose.ts'
import {
  type Engine,
  FOLDER_LABEL,
  startReadyBrokerContainer,
  startReadyRegistryContainer,
} from './docker-containers.ts'
import { settleImages } from './docker-images.ts'
import { rememberedClusterId } from './jvm.ts'
import { KeptAlive } from './kept-alive.ts'
import { LogFile } from './log-file.ts'
import { settlePort } from './ports.ts'
import { CCOMPAT_PATH } from './registry-server.ts'
import type { Availability, BrokerRequest, RunningBroker } from './way.ts'

/** How long `docker info` may take. */
const DOCKER_ANSWER_MS = 3_000
/** How long a container may take to end before it is killed. */
const CONTAINER_STOP_MS = 15_000
/** Whether a Docker engine on this machine answers, and the images are here or come in time. */
export async function dockerAvailability(
  request: Pick<BrokerRequest, 'home' | 'env' | 'steps' | 'signal'>,
): Promise<Availability> {
  const engine = await describeEngine(request.env)
  if ('missing' in engine) return { usable: false, reason: engine.missing }
  const images = await settleImages(request)
  if ('missing' in images) return { usable: false, reason: images.missing }
  return { usable: true, start: brokerRequest => startDockerBroker(brokerRequest, images, engine) }
}

async function describeEngine(env: NodeJS.ProcessEnv): Promise<Engine | { missing: string }> {
  const { code, output, late } = await runToEnd(
    'docker',
    ['info', '--format', '{{.OperatingSystem}}|{{.SecurityOptions}}|{{.ServerVersion}}'],
    { timeoutMs: DOCKER_ANSWER_MS, env },
  )
  if (code === 127) return { missing: 'there is no docker in PATH' }
  if (late) return { missing: `Docker does not answer within ${DOCKER_ANSWER_MS / 1000} s` }
  if (code !== 0) return { missing: `Docker does not answer (${output.trim().split('\n').at(-1)?.trim()})` }
  const remote = await remoteHost(env)
  if (remote !== undefined) return { missing: `Docker runs on another machine (${remote})` }
  return { user: containerUser(output) }
}

/** The engine's address when it is not on this machine: our folder and ports could not be shared with it. */
async function remoteHost(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const host =
    env.DOCKER_HOST ??
    (
      await runToEnd('docker', ['context', 'inspect', '--format', '{{.Endpoints.docker.Host}}'], {
        timeoutMs: DOCKER_ANSWER_MS,
        env,
      })
    ).output.trim()
  return /^(tcp|ssh|https?):/.test(host) && !/\/\/(localhost|127\.|\[::1\])/.test(host) ? host : undefined
}

/**
 * Linux engines keep owners as they are: the broker must run as us to read and write our folder. Rootless engines
 * map root to us. Docker Desktop maps owners by itself.
 */
function containerUser(info: string): string | undefined {
  if (process.platform !== 'linux' || info.startsWith('Docker Desktop')) return undefined
  if (info.includes('rootless')) return '0:0'
  return `${process.getuid?.()}:${process.getgid?.()}`
}

/** A name that is the folder's own: a second checkout has other containers. */
function containerPrefix(home: string): string {
  return `sallyport-${createHash('sha256').update(home).digest('hex').slice(0, 8)}`
}

async function startDockerBroker(
  request: BrokerRequest,
  images: { kafka: string; registry: string },
  engine: Engine,
): Promise<RunningBroker> {
  const { steps, signal, env, home } = request
  await removeLeftovers(home, env)
  const brokerPort = await settlePort({
    ...request.brokerPort,
    name: 'Kafka broker',
    remedy: '--broker-port or SALLYPORT_BROKER_PORT',
  })
  const registryPort = await settlePort({
    ...request.registryPort,
    name: 'schema registry',
    remedy: '--registry-port or SALLYPORT_REGISTRY_PORT',
  })
  const dataFolder = join(home, 'kafka')
  ensurePrivate(dataFolder)
  const clusterId = rememberedClusterId({ nodeId: 1, dataFolder }, home)
  const used = () => !clusterId.isNew && hasMetadata(dataFolder)
  const names = { broker: `${containerPrefix(home)}-broker`, registry: `${containerPrefix(home)}-registry` }
  const shared = { names, home, engine, env, signal, brokerPort, registryPort }
  const brokerLog = new LogFile(join(home, 'logs', 'broker.log'))
  const registryLog = new LogFile(join(home, 'logs', 'registry.log'))
  let registry: KeptAlive | undefined
  const broker = await steps.step(`starting the Kafka broker (${images.kafka})`, () =>
    KeptAlive.start(
      () =>
        startReadyBrokerContainer(
          { ...shared, image: images.kafka, dataFolder, clusterId: clusterId.id, used: used() },
          { log: brokerLog, timeoutMs: request.readyTimeoutMs },
        ),
      line => steps.say(line),
      // The registry lives in the network of the broker's container, which is another one now.
      () => registry?.daemon.kill(),
    ),
  )
  try {
    registry = await steps.step(`starting the schema registry (${images.registry})`, () =>
      KeptAlive.start(
        () => startReadyRegistryContainer({ ...shared, image: images.registry }, { log: registryLog }),
        line => steps.say(line),
      ),
    )
  } catch (error) {
    await broker.stop(CONTAINER_STOP_MS)
    throw error
  }
  const started = registry
  return {
    way: 'docker',
    description: `containers of ${images.kafka} and ${images.registry}`,
    connection: {
      brokers: [`127.0.0.1:${brokerPort}`],
      registryUrl: `http://127.0.0.1:${registryPort}${CCOMPAT_PATH}`,
    },
    failed: Promise.race([broker.failed, started.failed]),
    async stop() {
      await started.stop(CONTAINER_STOP_MS)
      await broker.stop(CONTAINER_STOP_MS)
    },
  }
}

/** Removes the containers of an earlier start in this folder that was killed. */
async function removeLeftovers(home: string, env: NodeJS.ProcessEnv): Promise<void> {
  const { output } = await runToEnd('docker', ['ps', '-aq', '--filter', `label=${FOLDER_LABEL}=${home}`], {
    env,
  })
  const ids = output.split(/\s+/).filter(id => /^[0-9a-f]{12,}$/.test(id))
  if (ids.length > 0) await runToEnd('docker', ['rm', '-f', '-v', ...ids], { env })
}
