import { join } from 'node:path'
import { type Daemon, startDaemon } from './daemon.ts'
import type { LogFile } from './log-file.ts'

/** Apicurio Registry's version, the same by every way: 3.1 and later may want a newer Java than 17. */
export const APICURIO_VERSION = '3.0.9'
/** Where Apicurio's Confluent-compatible API begins, below the registry's origin. */
export const CCOMPAT_PATH = '/apis/ccompat/v7'

/**
 * Apicurio's settings as environment variables, the same in a container and in a local JVM. Schemas live in a
 * Kafka topic.
 *
 * - The poll timeout is how long a start waits for a snapshot that never comes; the default of 5 s is most of the
 *   time a start takes. Snapshots are off, for they would live outside Kafka.
 */
export function registryEnvironment(bootstrap: string, host: string, port: number): Record<string, string> {
  return {
    APICURIO_STORAGE_KIND: 'kafkasql',
    APICURIO_KAFKASQL_BOOTSTRAP_SERVERS: bootstrap,
    APICURIO_KAFKASQL_CONSUMER_POLL_TIMEOUT: '100',
    APICURIO_KAFKASQL_SNAPSHOT_EVERY_SECONDS: 'off',
    QUARKUS_HTTP_HOST: host,
    QUARKUS_HTTP_PORT: String(port),
    QUARKUS_HTTP_ACCESS_LOG_ENABLED: 'false',
  }
}

/** Starts a registry whose schemas live in Kafka; it may not answer yet. */
export async function startRegistry(
  registry: { port: number; bootstrap: string },
  runtime: { java: string; app: string },
  log: LogFile,
): Promise<Daemon> {
  return await startDaemon({
    name: 'schema registry',
    command: runtime.java,
    args: [
      '-Xmx384m',
      '-XX:+UseSerialGC',
      '-XX:TieredStopAtLevel=1',
      '-XX:+PerfDisableSharedMem',
      '-jar',
      join(runtime.app, `apicurio-registry-app-${APICURIO_VERSION}-runner.jar`),
    ],
    env: registryEnvironment(registry.bootstrap, '127.0.0.1', registry.port),
    log,
  })
}
