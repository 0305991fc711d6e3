import { connectionFromEnvironment } from '@sallyport/core/connection'
import { createLog } from '@sallyport/core/log'
import { loadSettings } from '@sallyport/core/settings'
import { startTracing } from '@sallyport/core/trace'
import { startProcessors } from '@sallyport/processor/main'
import type { Command } from 'commander'
import { stopSignal } from '../stop-signal.ts'

interface ProcessorOptions {
  readonly config: string
}

/** `sallyport processor`: one process of processors, any number of them side by side. */
export function register(program: Command): void {
  program
    .command('processor')
    .description('run agent processors (KAFKA_BROKERS, SCHEMA_REGISTRY_URL)')
    .argument('[names...]', 'processors of the settings file; all where none is named')
    .option('-c, --config <file>', 'settings file', 'sallyport.yaml')
    .addHelpText(
      'after',
      '\nExample:\n  KAFKA_BROKERS=kafka:9092 SCHEMA_REGISTRY_URL=http://registry:8081 sallyport processor ticket-agent',
    )
    .action(run)
}

async function run(names: readonly string[], options: ProcessorOptions): Promise<void> {
  const settings = loadSettings(options.config, process.env)
  const connection = connectionFromEnvironment(process.env)
  const stopTracing = await startTracing('processor', process.env)
  const service = await startProcessors(settings, connection, createLog('processor'), names)
  await Promise.race([stopSignal(), service.failed])
  await service.drain(settings.processing.drainTimeoutMs)
  await stopTracing()
  process.exit(0)
}
