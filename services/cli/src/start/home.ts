import { chmodSync, mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { errorMessage, SallyportError } from '@sallyport/core/errors'

/** The folder that the whole project stands in. */
export const PROJECT_FOLDER = fileURLToPath(new URL('../../../..', import.meta.url)).replace(/[\\/]$/, '')

/**
 * The folder where `npm start` keeps everything that survives it: Kafka's data, the CRM's secret, logs, fetched
 * programs. `.sallyport` in the project's folder, or `SALLYPORT_HOME`: a folder of its own, since nobody else may read
 * it.
 */
export function homeFolder(env: NodeJS.ProcessEnv): string {
  const named = env.SALLYPORT_HOME
  return named === undefined || named === '' ? join(PROJECT_FOLDER, '.sallyport') : resolve(named)
}

/** Where fetched programs are kept; one cache serves every home of this checkout. */
export const CACHE_FOLDER = join(PROJECT_FOLDER, '.sallyport', 'jvm')

/** Makes a folder that its owner alone can read: Kafka's data are everybody's webhooks. Also one that was open before. */
export function ensurePrivate(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  chmodSync(folder, 0o700)
}

/** Creates the folder, for its owner alone; throws `SP_SETTINGS` when it cannot be written. */
export function ensureHome(home: string): void {
  try {
    ensurePrivate(home)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') throw error
    throw new SallyportError(
      'SP_SETTINGS',
      `${home} cannot be written (${errorMessage(error)}): make it writable, or name another folder with SALLYPORT_HOME`,
    )
  }
}
