import { connectionFromEnvironment } from '@sallyport/core/connection'
import { createLog } from '@sallyport/core/log'
import { loadSettings } from '@sallyport/core/settings'
import { startTracing } from '@sallyport/core/trace'
import { chargeLooseEnd, stackOf } from '@sallyport/processor/loose-ends'
import { startProcessors } from '@sallyport/processor/main'
import { stopSignal } from './stop-signal.ts'
import { meetUnforeseen, Unforeseen } from './unforeseen.ts'

interface ProcessorOptions {
  readonly config: string
}

/**
 * `sallyport processor`: a service. What its handlers leave running is charged to their attempts; after an exception
 * that nobody caught, it drains and ends.
 */
export async function serveProcessors(names: readonly string[], options: ProcessorOptions): Promise<void> {
  const settings = loadSettings(options.config, process.env)
  const connection = connectionFromEnvironment(process.env)
  const log = createLog('processor')
  const stopTracing = await startTracing('processor', process.env, log)
  const broken = Promise.withResolvers<never>()
  broken.promise.catch(() => {})
  meetUnforeseen((error, kind) => {
    const isCharged = chargeLooseEnd(error, kind, log)
    if (kind === 'exception' || !isCharged) broken.reject(new Unforeseen(error, stackOf(error)))
  })
  const service = await Promise.race([startProcessors(settings, connection, log, names), broken.promise])
  try {
    await Promise.race([stopSignal(), service.failed, broken.promise])
  } finally {
    // One that failed takes the others with it; they settle what is in flight, and leave their groups.
    await service.drain(settings.processing.drainTimeoutMs)
    await stopTracing()
  }
  // It may have broken while it drained.
  await Promise.race([broken.promise, Promise.resolve()])
  process.exit(0)
}
