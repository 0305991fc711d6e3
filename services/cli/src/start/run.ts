/**
 * `npm start`: lock → checks → secret → settings → broker → topics and schemas → processors → ingress → index →
 * dev.json, then waits, and ends all of it in the reverse order.
 *
 * L1. What is started is ended in the reverse order, on every path: the user's wish, an error in the middle, a
 *     service that fails. The ingress drains before the processors, and both before the broker goes.
 * L2. dev.json exists only while everything is ready.
 * L3. Nothing outlives this process, even when it is killed: children have guards (broker/daemon.ts), and what
 *     they leave behind (containers, a stale lock, dev.json) is taken over by the next start.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { loadSettings, type Settings } from '@sallyport/core/settings'
import { startBroker } from '../broker/choose.ts'
import type { RunningBroker } from '../broker/way.ts'
import { colors } from '../colors.ts'
import { Sender } from '../send/sender.ts'
import { ensureCrmSecret } from './crm-secret.ts'
import { startDemo } from './demo.ts'
import { devFilePath, removeDevFile, writeDevFile } from './dev-file.ts'
import { CACHE_FOLDER, ensureHome, homeFolder } from './home.ts'
import { startIndexDaemon } from './index-daemon.ts'
import { StartLock } from './lock.ts'
import type { StartOptions } from './options.ts'
import { checkDisk, checkIngressPort } from './preflight.ts'
import { Progress } from './progress.ts'
import { type ReadyService, Services, untilWorking } from './services.ts'
import { StopRequest } from './stop-request.ts'

/** Exit code after a second Ctrl-C. */
const EXIT_INSISTED = 130

/**
 * Runs everything until the user stops it; resolves when it has ended in order. Throws what hinders a start
 * (`SP_ALREADY_RUNNING`, `SP_PORT_TAKEN`, `SP_DISK_FULL`, `SP_DATA_CORRUPT`, `SP_BROKER_MISSING`, `SP_SETTINGS` …)
 * and what fails later, after everything has been ended.
 */
export async function runStart(options: StartOptions, env: NodeJS.ProcessEnv): Promise<void> {
  const progress = new Progress()
  const stop = new StopRequest(
    () => progress.say('stopping: what is in flight is finished first (once more to stop at once)'),
    () => process.exit(EXIT_INSISTED),
  )
  try {
    await runUntilStopped(options, env, progress, stop)
  } catch (error) {
    // Whatever breaks because the user wanted to stop is no error.
    if (!stop.signal.aborted) throw error
  }
  progress.print('stopped')
}

/** On this machine claims are saved, so that the next start need not read them all; production says where. */
function withCheckpoints(settings: Settings, home: string): Settings {
  const checkpointFolder = settings.processing.checkpointFolder ?? join(home, 'checkpoints')
  return { ...settings, processing: { ...settings.processing, checkpointFolder } }
}

async function runUntilStopped(
  options: StartOptions,
  env: NodeJS.ProcessEnv,
  progress: Progress,
  stop: StopRequest,
): Promise<void> {
  await using started = new AsyncDisposableStack()
  const home = homeFolder(env)
  await takeHome(home, started, progress, stop)
  if (options.port !== undefined) env.SALLYPORT_INGRESS_PORT = String(options.port)
  const secretFile = ensureCrmSecret(home, env)
  const settings = withCheckpoints(loadSettings(options.config, env), home)
  if (!env.KAFKA_BROKERS) await checkDisk(home, options.diskFreeMibMin)
  await checkIngressPort(settings.ingress.host, settings.ingress.port)
  const services = new Services(settings, home, progress)
  const broker = await startCheckedBroker(services, options, { home, env, progress, started, stop })
  const { connection } = broker
  await progress.step('creating topics and registering schemas', () =>
    stop.cut(services.provision(connection, broker.way !== 'environment')),
  )

  const { processors, ingress } = await progress.step('starting processors and ingress', async () => {
    const processors = services.startProcessors(connection)
    started.defer(() => drain(processors, settings.processing.drainTimeoutMs, progress))
    const ingress = services.startIngress(connection)
    started.defer(() => drain(ingress, settings.ingress.drainTimeoutMs, progress))
    await stop.cut(Promise.all([untilWorking(processors), untilWorking(ingress)]))
    return { processors, ingress }
  })

  const index = await startIndexDaemon(connection, home, line => progress.say(line))
  started.defer(() => index.stop())
  started.defer(() => removeDevFile(home))
  writeDevFile(home, {
    ingress: ingress.url,
    brokers: connection.brokers,
    registry: connection.registryUrl,
    pid: process.pid,
  })
  progress.print(
    banner({ broker, ingress: ingress.url, home, logPath: services.logPath, secretFile, settings }),
  )
  if (options.demoIntervalMs !== undefined) {
    const demo = startDemo({
      url: `${ingress.url}/webhooks/crm`,
      sender: Sender.of('crm', settings, env),
      intervalMs: options.demoIntervalMs,
      say: line => progress.say(line),
    })
    started.defer(() => demo.stop())
  }
  await Promise.race([stop.asked, broker.failed, processors.failed, ingress.failed])
}

/**
 * Brings the broker up while the services' settings are checked, which takes a second of its own; a mistake there
 * ends it again.
 */
async function startCheckedBroker(
  services: Services,
  options: StartOptions,
  context: {
    home: string
    env: NodeJS.ProcessEnv
    progress: Progress
    started: AsyncDisposableStack
    stop: StopRequest
  },
): Promise<RunningBroker> {
  const { home, env, progress, started } = context
  const mistaken = new AbortController()
  const checking = services.check(env)
  checking.catch(error => mistaken.abort(error))
  const starting = startBroker(
    {
      home,
      cacheFolder: CACHE_FOLDER,
      brokerPort: options.brokerPort,
      registryPort: options.registryPort,
      readyTimeoutMs: options.brokerReadyTimeoutMs,
      env,
      steps: progress,
      signal: AbortSignal.any([context.stop.signal, mistaken.signal]),
    },
    options.way,
  )
  const [checked, broker] = await Promise.allSettled([checking, starting])
  if (broker.status === 'fulfilled') started.defer(() => endBroker(broker.value, progress))
  if (checked.status === 'rejected') throw checked.reason
  if (broker.status === 'rejected') throw broker.reason
  return broker.value
}

/** Makes this start the only one of its folder. */
async function takeHome(
  home: string,
  started: AsyncDisposableStack,
  progress: Progress,
  stop: StopRequest,
): Promise<void> {
  ensureHome(home)
  const lock = await StartLock.acquire(home, line => progress.say(line), stop.signal)
  removeDevFile(home)
  // Also when the process is ended at once, so that nothing looks alive that is not.
  const forget = () => {
    rmSync(devFilePath(home), { force: true })
    lock.release()
  }
  process.on('exit', forget)
  stop.signal.addEventListener('abort', () => lock.markStopping(), { once: true })
  started.defer(() => {
    process.off('exit', forget)
    forget()
  })
}

async function drain(service: ReadyService, deadlineMs: number, progress: Progress): Promise<void> {
  await progress.step(`draining the ${service.name}`, () => service.drain(deadlineMs))
}

async function endBroker(broker: RunningBroker, progress: Progress): Promise<void> {
  if (broker.way === 'environment') return
  await progress.step('stopping the schema registry and the broker', () => broker.stop())
}

function banner(what: {
  broker: RunningBroker
  ingress: string
  home: string
  logPath: string
  secretFile: string | undefined
  settings: Settings
}): string {
  const { connection } = what.broker
  const webhook = `${what.ingress}/webhooks/${Object.keys(what.settings.sources)[0] ?? ':source'}`
  const secret = what.secretFile ?? 'CRM_WEBHOOK_SECRET'
  return [
    '',
    colors.bold('Sallyport is ready.'),
    `  webhooks   POST ${webhook}`,
    `  broker     ${connection.brokers.join(',')} (${what.broker.description})`,
    `  registry   ${connection.registryUrl}`,
    `  secret     of the source crm: ${secret}`,
    `  logs       ${what.logPath}`,
    `  addresses  ${join(what.home, 'dev.json')}`,
    '',
    `Try next:  ${colors.bold('npx sallyport send crm')}`,
    'Ctrl-C drains and stops.',
    '',
  ].join('\n')
}
