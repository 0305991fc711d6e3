import { connectionFromEnvironment } from '@sallyport/core/connection'
import { createLog } from '@sallyport/core/log'
import { loadSettings, type Settings } from '@sallyport/core/settings'
import { startTracing } from '@sallyport/core/trace'
import { startIngress } from '@sallyport/ingress/main'
import { type Command, InvalidArgumentError } from 'commander'

interface IngressOptions {
  readonly config: string
  readonly port?: number
  readonly host?: string
}

/** `sallyport ingress`: one ingress, any number of them side by side. */
export function register(program: Command): void {
  program
    .command('ingress')
    .description('receive webhooks: verify them and store them in Kafka (KAFKA_BROKERS, SCHEMA_REGISTRY_URL)')
    .option('-c, --config <file>', 'settings file', 'sallyport.yaml')
    .option('-p, --port <port>', 'port to listen on, 0 for a free one (ingress.port)', portOf)
    .option('--host <address>', 'address to listen on (ingress.host)')
    .action(run)
}

async function run(options: IngressOptions): Promise<void> {
  const settings = withOptions(loadSettings(options.config, process.env), options)
  const connection = connectionFromEnvironment(process.env)
  const stopTracing = await startTracing('ingress', process.env)
  const service = await startIngress(settings, connection, createLog('ingress'))
  await Promise.race([stopSignal(), service.failed])
  await service.drain(settings.ingress.drainTimeoutMs)
  await stopTracing()
  process.exit(0)
}

function withOptions(settings: Settings, { port, host }: IngressOptions): Settings {
  const { ingress } = settings
  return { ...settings, ingress: { ...ingress, port: port ?? ingress.port, host: host ?? ingress.host } }
}

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process as it always would. */
function stopSignal(): Promise<void> {
  return new Promise(resolve => {
    const stop = (): void => {
      process.off('SIGTERM', stop)
      process.off('SIGINT', stop)
      resolve()
    }
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
  })
}

function portOf(text: string): number {
  const port = Number(text)
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new InvalidArgumentError('a port is 0 to 65535.')
  return port
}
