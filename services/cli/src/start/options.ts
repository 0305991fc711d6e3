import { join } from 'node:path'
import { durationMs } from '@sallyport/core/duration'
import { SallyportError } from '@sallyport/core/errors'
import { type Command, Option } from 'commander'
import { WAY_NAMES, type WayName } from '../broker/way.ts'
import { wholeNumber } from '../option.ts'
import { PROJECT_FOLDER } from './home.ts'

/** What `npm start` can be told; each by an option, else by an environment variable, else the default. */
export interface StartOptions {
  /** Settings file; default `sallyport.yaml` in the project's folder. */
  readonly config: string
  /** Port of the ingress; undefined leaves it to the settings. */
  readonly port: number | undefined
  readonly brokerPort: { readonly port: number; readonly named: boolean }
  readonly registryPort: { readonly port: number; readonly named: boolean }
  /** The one way to a broker that may be gone; undefined tries all. */
  readonly way: WayName | undefined
  /** Free disk below which nothing is started, MiB. */
  readonly diskFreeMibMin: number
  /** How long the broker may take to come up, ms. */
  readonly brokerReadyTimeoutMs: number
  /** Pause between two deliveries of the demo, ms; undefined without a demo. */
  readonly demoIntervalMs: number | undefined
}

const DEFAULT_BROKER_PORT = 19_092
const DEFAULT_REGISTRY_PORT = 18_081
const DEFAULT_DISK_FREE_MIB_MIN = 512
const DISK_FREE_MIB_MAX = 1_000_000_000
/** 0 is any free one. */
const PORT_MAX = 65_535

/** Declares the options of `sallyport start`. */
export function declareStartOptions(command: Command): Command {
  return command
    .addOption(
      new Option('-c, --config <file>', 'settings file').default(join(PROJECT_FOLDER, 'sallyport.yaml')),
    )
    .addOption(
      new Option('-p, --port <port>', 'port of the ingress, 0 for a free one (default: ingress.port)')
        .env('SALLYPORT_INGRESS_PORT')
        .argParser(wholeNumber(0, PORT_MAX)),
    )
    .addOption(new Option('--demo', 'keep a trickle of signed sample webhooks going'))
    .addOption(
      new Option('--demo-interval <duration>', 'pause between two of them')
        .env('SALLYPORT_DEMO_INTERVAL')
        .default('1s'),
    )
    .addOption(
      new Option('--broker <way>', 'the way to a broker (default: the first that can be gone)')
        .env('SALLYPORT_BROKER')
        .choices([...WAY_NAMES]),
    )
    .addOption(
      new Option('--broker-port <port>', 'port of the Kafka broker, 0 for a free one')
        .env('SALLYPORT_BROKER_PORT')
        .argParser(wholeNumber(0, PORT_MAX))
        .default(DEFAULT_BROKER_PORT, `${DEFAULT_BROKER_PORT}, or a free one when that is taken`),
    )
    .addOption(
      new Option('--registry-port <port>', 'port of the schema registry, 0 for a free one')
        .env('SALLYPORT_REGISTRY_PORT')
        .argParser(wholeNumber(0, PORT_MAX))
        .default(DEFAULT_REGISTRY_PORT, `${DEFAULT_REGISTRY_PORT}, or a free one when that is taken`),
    )
    .addOption(
      new Option('--broker-timeout <duration>', 'how long the broker may take to come up')
        .env('SALLYPORT_BROKER_TIMEOUT')
        .default('120s'),
    )
    .addOption(
      new Option('--disk-free-min <MiB>', 'start nothing with less free disk than this')
        .env('SALLYPORT_DISK_FREE_MIB_MIN')
        .argParser(wholeNumber(0, DISK_FREE_MIB_MAX))
        .default(DEFAULT_DISK_FREE_MIB_MIN),
    )
}

/** The options as given, or from the environment, or the defaults. Throws `SP_SETTINGS`. */
export function startOptions(command: Command): StartOptions {
  const values = command.opts()
  const wish = (name: string) => ({
    port: values[name] as number,
    named: command.getOptionValueSource(name) !== 'default',
  })
  const interval = durationMs(values.demoInterval, '--demo-interval')
  if (interval === 0) {
    throw new SallyportError('SP_SETTINGS', '--demo-interval is 0: give it at least 1ms')
  }
  return {
    config: values.config,
    port: values.port,
    brokerPort: wish('brokerPort'),
    registryPort: wish('registryPort'),
    way: values.broker,
    diskFreeMibMin: values.diskFreeMin,
    brokerReadyTimeoutMs: durationMs(values.brokerTimeout, '--broker-timeout'),
    demoIntervalMs: values.demo === true ? interval : undefined,
  }
}
