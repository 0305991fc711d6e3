import { type Command, Option } from 'commander'

/** `sallyport processor`: one process of processors, any number of them side by side. */
export function register(program: Command): void {
  program
    .command('processor')
    .description('run agent processors (KAFKA_BROKERS, SCHEMA_REGISTRY_URL)')
    .argument('[names...]', 'processors of the settings file; all where none is named')
    .option('-c, --config <file>', 'settings file', 'sallyport.yaml')
    .option('--isolate', 'each processor in a process of its own, kept running under this one', false)
    .option(
      '--checkpoint-folder <folder>',
      'folder for checkpoints of the claims (processing.checkpointFolder)',
    )
    // For supervisors, which run nobody else's code.
    .addOption(new Option('--names', 'print the names of the processors').hideHelp())
    .addHelpText(
      'after',
      '\nExample:\n  KAFKA_BROKERS=kafka:9092 SCHEMA_REGISTRY_URL=http://registry:8081 sallyport processor ticket-agent',
    )
    .action(
      async (names, options) =>
        await (await import('../processor-service.ts')).serveProcessors(names, options),
    )
}
