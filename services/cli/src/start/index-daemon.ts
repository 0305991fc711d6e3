import { join } from 'node:path'
import type { Connection } from '@sallyport/core/connection'
import { startDaemon } from '../broker/daemon.ts'
import { KeptAlive } from '../broker/kept-alive.ts'
import { LogFile } from '../broker/log-file.ts'
import { PROJECT_FOLDER } from './home.ts'

/** How long the index may take to end in order, ms; a kill costs nothing but reading again. */
const STOP_MS = 3_000

/**
 * `sallyport index` beside the services: a process of its own, for indexing would hold up whoever shares its event
 * loop. Nothing depends on it; when it ends again and again, `say` tells.
 */
export async function startIndexDaemon(
  connection: Connection,
  home: string,
  say: (line: string) => void,
): Promise<{ stop(): Promise<void> }> {
  const log = new LogFile(join(home, 'logs', 'index.log'))
  const start = () =>
    startDaemon({
      name: 'index of events',
      command: process.execPath,
      args: [join(PROJECT_FOLDER, 'services/cli/bin/sallyport.js'), 'index'],
      env: {
        KAFKA_BROKERS: connection.brokers.join(),
        SCHEMA_REGISTRY_URL: connection.registryUrl,
        SALLYPORT_HOME: home,
        npm_lifecycle_event: undefined,
      },
      log,
    })
  const kept = await KeptAlive.start(start, say)
  kept.failed.catch(error => say(`${error.message}: see ${log.path}; searches read the topics themselves`))
  return {
    async stop() {
      await kept.stop(STOP_MS)
      log.close()
    },
  }
}
