import { connectionFromEnvironment } from '@sallyport/core/connection'
import { createLog } from '@sallyport/core/log'
import { loadSettings, type Settings } from '@sallyport/core/settings'
import { startTracing } from '@sallyport/core/trace'
import { startIngress } from '@sallyport/ingress/main'
import { isWorker, runWorkers, workerStop } from '@sallyport/ingress/workers'
import { stopSignal } from './stop-signal.ts'
import { answerSupervisor, tellReady } from './supervision/supervised.ts'

interface IngressOptions {
  readonly config: string
  readonly port?: number
  readonly host?: string
  readonly workers: number
}

/** `sallyport ingress`: a service. */
export async function serveIngress(options: IngressOptions): Promise<void> {
  const settings = withOptions(loadSettings(options.config, process.env), options)
  if (options.workers > 1 && !isWorker) {
    await runWorkers(options.workers, settings.ingress, createLog('ingress'), stopSignal())
  } else {
    await runOne(isWorker ? withoutAdmin(settings) : settings)
  }
  process.exit(0)
}

async function runOne(settings: Settings): Promise<void> {
  const connection = connectionFromEnvironment(process.env)
  const log = createLog('ingress')
  const stopTracing = await startTracing('ingress', process.env, log)
  const stop = isWorker ? workerStop() : stopSignal()
  const service = await startIngress(settings, connection, log, { reusePort: isWorker })
  answerSupervisor()
  service.ready.then(
    () => tellReady(service.url),
    () => {},
  )
  await Promise.race([stop, service.failed])
  await service.drain(settings.ingress.drainTimeoutMs)
  await stopTracing()
}

function withOptions(settings: Settings, { port, host }: IngressOptions): Settings {
  const { ingress } = settings
  return { ...settings, ingress: { ...ingress, port: port ?? ingress.port, host: host ?? ingress.host } }
}

/** The first process serves the metrics of all workers. */
function withoutAdmin(settings: Settings): Settings {
  const { adminPort, ...ingress } = settings.ingress
  return { ...settings, ingress }
}
