import path from 'node:path'
import { connectionFromEnvironment } from '@sallyport/core/connection'
import { createLog } from '@sallyport/core/log'
import { loadSettings, type Settings } from '@sallyport/core/settings'
import { startTracing } from '@sallyport/core/trace'
import { checkClaimsFit } from '@sallyport/processor/claims-budget'
import { loadProcessors } from '@sallyport/processor/config'
import { chargeLooseEnd, stackOf } from '@sallyport/processor/loose-ends'
import { startProcessors } from '@sallyport/processor/main'
import { memoryLimits } from '@sallyport/processor/memory-limits'
import { isolateProcessors } from './isolated-processors.ts'
import { print } from './output.ts'
import { stopSignal } from './stop-signal.ts'
import { namesLine } from './supervision/processor-names.ts'
import { answerSupervisor, isSupervised, sharers, tellReady } from './supervision/supervised.ts'
import { meetUnforeseen, Unforeseen } from './unforeseen.ts'

interface ProcessorOptions {
  readonly config: string
  readonly isolate: boolean
  readonly checkpointFolder?: string
  readonly names?: boolean
}

/**
 * `sallyport processor`: a service. What its handlers leave running is charged to their attempts; after an exception
 * that nobody caught, it drains and ends.
 */
export async function serveProcessors(names: readonly string[], options: ProcessorOptions): Promise<void> {
  if (options.isolate) process.exit(await isolateProcessors(names, options.config))
  const settings = withOptions(loadSettings(options.config, process.env), options)
  if (options.names === true) return await printNames(settings, names)
  const connection = connectionFromEnvironment(process.env)
  const log = createLog('processor')
  const stopTracing = await startTracing('processor', process.env, log)
  const broken = Promise.withResolvers<never>()
  broken.promise.catch(() => {})
  meetUnforeseen((error, kind) => {
    const charged = chargeLooseEnd(error, kind, log)
    if (kind === 'exception' || charged === 'nobody') broken.reject(new Unforeseen(error, stackOf(error)))
  })
  answerSupervisor()
  const service = await Promise.race([startProcessors(settings, connection, log, names), broken.promise])
  service.ready.then(
    () => tellReady(),
    () => {},
  )
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

/** A supervisor has the operators' listener for all that it runs, and these share what a process would use by itself. */
function withOptions(settings: Settings, { checkpointFolder }: ProcessorOptions): Settings {
  const { adminPort, ...processing } = settings.processing
  return {
    ...settings,
    processing: {
      ...processing,
      ...(adminPort === undefined || isSupervised ? {} : { adminPort }),
      ...(sharers > 1 && processing.memoryBytesMax === undefined && processing.claimsBytesMax === undefined
        ? { memoryBytesMax: Math.floor(memoryLimits(settings).bytesMax / sharers) }
        : {}),
      ...(checkpointFolder === undefined ? {} : { checkpointFolder: path.resolve(checkpointFolder) }),
    },
  }
}

async function printNames(settings: Settings, names: readonly string[]): Promise<void> {
  const processors = await loadProcessors(settings, names)
  checkClaimsFit(settings, processors.length, memoryLimits(settings).claimsBytesMax)
  await print(namesLine(processors.map(({ name }) => name)))
}
