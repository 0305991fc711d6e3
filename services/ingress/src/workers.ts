/**
 * Several ingresses on one host and port, one per core: the first process only keeps the others running.
 *
 * - S6. Workers share nothing but the port (SO_REUSEPORT): the kernel spreads connections over them, and no request
 *   passes through the first process.
 * - S7. A worker that dies is replaced, later each time; one that cannot start at all ends the whole.
 * - S8. The first process tells the workers when to drain and when to reload. A worker whose first process is gone drains by itself.
 */
import cluster, { type Worker } from 'node:cluster'
import type { Server } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { SallyportError } from '@sallyport/core/errors'
import type { Log } from '@sallyport/core/log'
import { metrics } from '@sallyport/core/metrics'
import type { IngressSettings } from '@sallyport/core/settings'
import { AggregatorRegistry } from 'prom-client'
import { closeListener, createOperatorsServer, listen } from './listener.ts'
import { problem } from './problem.ts'
import { answer, answerProblem } from './respond.ts'
import { pathOf } from './route.ts'

/** Whether this process is one of several workers. */
export const isWorker = cluster.isWorker

const RESTART_MS_FIRST = 200
const RESTART_MS_MAX = 10_000
/** A worker that lived this long had started. */
const STARTED_MS = 5_000

/** Workers run until `stop`; then they drain, and it resolves. Rejects when workers cannot start. */
export async function runWorkers(
  count: number,
  settings: IngressSettings,
  log: Log,
  stop: Promise<void>,
): Promise<void> {
  if (settings.port === 0) {
    throw new SallyportError('SP_SETTINGS', 'ingress.port is 0, and workers share one port: name it')
  }
  const admin = settings.adminPort === undefined ? undefined : createMetricsServer()
  if (admin !== undefined) await listen(admin, settings.adminHost, settings.adminPort as number)
  let stopping = false
  const failed = Promise.withResolvers<never>()
  const running = new Set<Promise<void>>()

  async function keep(pauseMs: number): Promise<void> {
    const worker = cluster.fork()
    const startedAt = Date.now()
    const code = await exitOf(worker)
    if (stopping) return
    const lived = Date.now() - startedAt >= STARTED_MS
    log.error({ worker: worker.id, code }, 'a worker ended; another one is started')
    if (!lived && pauseMs > RESTART_MS_MAX) {
      failed.reject(new SallyportError('SP_SETTINGS', 'the workers end as soon as they start: see the log'))
      return
    }
    await sleep(lived ? RESTART_MS_FIRST : pauseMs)
    if (!stopping) await keep(lived ? RESTART_MS_FIRST : 2 * pauseMs)
  }

  const reload = (): void => signalAll('SIGHUP')
  process.on('SIGHUP', reload)
  for (let i = 0; i < count; i++) running.add(keep(RESTART_MS_FIRST))
  try {
    await Promise.race([stop, failed.promise])
  } finally {
    stopping = true
    process.off('SIGHUP', reload)
    signalAll('SIGTERM')
    await Promise.all(running)
    if (admin !== undefined) await closeListener(admin, 0)
  }
}

/** For a worker: when to drain. Ctrl-C reaches every process of the terminal, so only the first one heeds it. */
export function workerStop(): Promise<void> {
  AggregatorRegistry.setRegistries([metrics])
  new AggregatorRegistry()
  return new Promise(resolve => {
    process.on('SIGINT', () => {})
    process.once('SIGTERM', () => resolve())
    process.once('disconnect', () => resolve())
  })
}

function signalAll(signal: NodeJS.Signals): void {
  for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill(signal)
}

function exitOf(worker: Worker): Promise<number | null> {
  return new Promise(resolve => worker.once('exit', code => resolve(code)))
}

/** What all workers counted, as one. */
function createMetricsServer(): Server {
  const registry = new AggregatorRegistry()
  return createOperatorsServer((req, res) => {
    if (pathOf(req.url ?? '') !== '/metrics') {
      answerProblem(res, problem('unknown-path', 'Here is /metrics; ask the ingress for its health.'))
      return
    }
    registry.clusterMetrics().then(
      text => answer(res, 200, registry.contentType, text),
      () => answerProblem(res, problem('internal-error', 'A worker did not answer in time.')),
    )
  })
}
