/** Where a command finds Kafka and the registry. */
import { type Connection, connectionFromEnvironment } from '@sallyport/core/connection'
import { SallyportError } from '@sallyport/core/errors'
import { createLog, type Log } from '@sallyport/core/log'
import type { Command } from 'commander'
import { pino } from 'pino'
import { readDevFile } from './start/dev-file.ts'
import { homeFolder } from './start/home.ts'

export interface KafkaOptions {
  readonly brokers?: string
  readonly registry?: string
}

/** Adds `--brokers` and `--registry`. */
export function declareKafkaOptions(command: Command): Command {
  return command
    .option(
      '--brokers <list>',
      'host:port of brokers, with commas; goes with --registry (default: KAFKA_BROKERS, else npm start’s)',
    )
    .option(
      '--registry <url>',
      'schema registry; goes with --brokers (default: SCHEMA_REGISTRY_URL, else npm start’s)',
    )
}

/**
 * The options, else the environment, else what `npm start` runs here; always a pair, because one cluster's records are
 * never read with another's schemas. Throws `SP_SETTINGS`.
 */
export function connectionOf(options: KafkaOptions, env: NodeJS.ProcessEnv): Connection {
  const around = pairAround(env)
  const KAFKA_BROKERS = options.brokers ?? around.KAFKA_BROKERS
  const SCHEMA_REGISTRY_URL = options.registry ?? around.SCHEMA_REGISTRY_URL
  const isBrokersChanged = !isSame(KAFKA_BROKERS, around.KAFKA_BROKERS)
  const isRegistryChanged = !isSame(SCHEMA_REGISTRY_URL, around.SCHEMA_REGISTRY_URL)
  if (isBrokersChanged && options.registry === undefined) throw halfAPair('--brokers', '--registry')
  if (isRegistryChanged && options.brokers === undefined) throw halfAPair('--registry', '--brokers')
  return connectionFromEnvironment({ KAFKA_BROKERS, SCHEMA_REGISTRY_URL })
}

/** The pair that holds where no option is given. */
function pairAround(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const dev = env.KAFKA_BROKERS ? undefined : readDevFile(homeFolder(env))
  if (dev === undefined) return env
  return { KAFKA_BROKERS: dev.brokers.join(), SCHEMA_REGISTRY_URL: dev.registry }
}

function isSame(one = '', other = ''): boolean {
  return normal(one) === normal(other)
}

/** Blanks and slashes at the end name nothing else. */
function normal(list: string): string {
  return list
    .split(',')
    .map(entry => entry.trim().replace(/\/+$/, ''))
    .join()
}

function halfAPair(given: string, missing: string): SallyportError {
  return new SallyportError(
    'SP_SETTINGS',
    `${given} without ${missing}: it is not the one of the environment or npm start, so give both; one cluster’s records are never read with another’s schemas`,
  )
}

/** A command's log: nothing unless `LOG_LEVEL` is set, and then on standard error. */
export function commandLog(name: string): Log {
  const log = createLog(name, pino.destination({ dest: 2, sync: true }))
  log.level = process.env.LOG_LEVEL ?? 'silent'
  return log
}
