import type { Command } from 'commander'

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
    .action(
      async (names, options) =>
        await (await import('../processor-service.ts')).serveProcessors(names, options),
    )
}
