import { connectionFromEnvironment } from '@sallyport/core/connection'
import { createLog } from '@sallyport/core/log'
import { loadSettings } from '@sallyport/core/settings'
import { startTracing } from '@sallyport/core/trace'
import { startProcessors } from '@sallyport/processor/main'
import { stopSignal } from './stop-signal.ts'

interface ProcessorOptions {
  readonly config: string
}

/** `sallyport processor`: a service. */
export async function serveProcessors(names: readonly string[], options: ProcessorOptions): Promise<void> {
  const settings = loadSettings(options.config, process.env)
  const connection = connectionFromEnvironment(process.env)
  const log = createLog('processor')
  const stopTracing = await startTracing('processor', process.env, log)
  const service = await startProcessors(settings, connection, log, names)
  try {
    await Promise.race([stopSignal(), service.failed])
  } finally {
    // One that failed takes the others with it; they settle what is in flight, and leave their groups.
    await service.drain(settings.processing.drainTimeoutMs)
    await stopTracing()
  }
  process.exit(0)
}
