import type { Command } from 'commander'
import { declareKafkaOptions } from '../kafka-options.ts'

const EXAMPLES = `
npm start runs it beside the services. Elsewhere run it where events are looked for often: without it, each search first
reads what has come since the last one. The file is SALLYPORT_HOME/index/CLUSTER.db, and can be removed at any time.

Examples:
  KAFKA_BROKERS=kafka:9092 SCHEMA_REGISTRY_URL=http://registry:8081 sallyport index
  sallyport index --rebuild`

/** `sallyport index`: keeps the index of events up with the topics. */
export function register(program: Command): void {
  declareKafkaOptions(program.command('index'))
    .description('keep the index of events up with the topics, for events list and events show')
    .option('--rebuild', 'empty it first, and fill it from the start of the topics')
    .addHelpText('after', EXAMPLES)
    .action(async options => await (await import('../index-service.ts')).runIndex(options))
}
