/** Where a command finds Kafka and the registry. */
import { type Connection, connectionFromEnvironment } from '@sallyport/core/connection'
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
      'host:port of brokers, with commas (default: KAFKA_BROKERS, else npm start’s)',
    )
    .option('--registry <url>', 'schema registry (default: SCHEMA_REGISTRY_URL, else npm start’s)')
}

/**
 * The options win over the environment; where neither names a broker, it is what `npm start` runs here, with its
 * registry: one cluster's records are never read with another's schemas. Throws `SP_SETTINGS`.
 */
export function connectionOf(options: KafkaOptions, env: NodeJS.ProcessEnv): Connection {
  const KAFKA_BROKERS = options.brokers ?? env.KAFKA_BROKERS
  const SCHEMA_REGISTRY_URL = options.registry ?? env.SCHEMA_REGISTRY_URL
  const dev = KAFKA_BROKERS ? undefined : readDevFile(homeFolder(env))
  if (dev === undefined) return connectionFromEnvironment({ KAFKA_BROKERS, SCHEMA_REGISTRY_URL })
  return { brokers: dev.brokers, registryUrl: options.registry ?? dev.registry }
}

/** A command's log: nothing unless `LOG_LEVEL` is set, and then on standard error. */
export function commandLog(name: string): Log {
  const log = createLog(name, pino.destination({ dest: 2, sync: true }))
  log.level = process.env.LOG_LEVEL ?? 'silent'
  return log
}
