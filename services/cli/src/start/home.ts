import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { errorMessage, SallyportError } from '@sallyport/core/errors'

/** The folder that the whole project stands in. */
export const PROJECT_FOLDER = fileURLToPath(new URL('../../../..', import.meta.url)).replace(/[\\/]$/, '')

/**
 * The folder where `npm start` keeps everything that survives it: Kafka's data, the CRM's secret, logs, fetched
 * programs. `.sallyport` in the project's folder, or `SALLYPORT_HOME`.
 */
export function homeFolder(env: NodeJS.ProcessEnv): string {
  const named = env.SALLYPORT_HOME
  return named === undefined || named === '' ? join(PROJECT_FOLDER, '.sallyport') : resolve(named)
}

/** Where fetched programs are kept; one cache serves every home of this checkout. */
export const CACHE_FOLDER = join(PROJECT_FOLDER, '.sallyport', 'jvm')

/** Creates the folder; throws `SP_SETTINGS` when it cannot be written. */
export function ensureHome(home: string): void {
  try {
    mkdirSync(home, { recursive: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') throw error
    throw new SallyportError(
      'SP_SETTINGS',
      `${home} cannot be written (${errorMessage(error)}): make it writable, or name another folder with SALLYPORT_HOME`,
    )
  }
}
