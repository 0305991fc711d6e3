import type { Command } from 'commander'
import { wholeNumber } from '../option.ts'

const WORKERS_MAX = 256

/** `sallyport ingress`: one ingress, any number of them side by side. */
export function register(program: Command): void {
  program
    .command('ingress')
    .description('receive webhooks: verify them and store them in Kafka (KAFKA_BROKERS, SCHEMA_REGISTRY_URL)')
    .option('-c, --config <file>', 'settings file', 'sallyport.yaml')
    .option('-p, --port <port>', 'port to listen on, 0 for a free one (ingress.port)', wholeNumber(0, 65_535))
    .option('--host <address>', 'address to listen on (ingress.host)')
    .option('-w, --workers <count>', 'processes that share the port', wholeNumber(1, WORKERS_MAX), 1)
    .addHelpText(
      'after',
      '\nExample:\n  KAFKA_BROKERS=kafka:9092 SCHEMA_REGISTRY_URL=http://registry:8081 sallyport ingress --port 8480',
    )
    .action(async options => await (await import('../ingress-service.ts')).serveIngress(options))
}
