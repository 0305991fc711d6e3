/** How commands come to an index that is up to date. */
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { indexError, openIndex } from '@sallyport/console/index/database'
import { catchUp, type IndexSource } from '@sallyport/console/index/follower'
import { SallyportError } from '@sallyport/core/errors'
import { clusterId } from '@sallyport/core/kafka/admin'
import { createKafka } from '@sallyport/core/kafka/client'
import { createRegistry } from '@sallyport/core/kafka/registry'
import type { IndexOptions } from './index-options.ts'
import { commandLog, connectionOf, type KafkaOptions } from './kafka-options.ts'
import { note } from './output.ts'
import { ProgressLine } from './progress-line.ts'
import { homeFolder } from './start/home.ts'

export interface OpenIndex {
  readonly database: DatabaseSync
  readonly source: IndexSource
  readonly file: string
}

/**
 * Opens the index of the cluster that the options name: a file of its own for each cluster, so that two never mix.
 * Throws `SP_BROKER_UNREACHABLE` or `SP_INDEX`.
 */
export async function openClusterIndex(options: KafkaOptions, env: NodeJS.ProcessEnv): Promise<OpenIndex> {
  const connection = connectionOf(options, env)
  const kafka = createKafka(connection, 'sallyport-index', commandLog('index'))
  const cluster = (await clusterId(kafka)).replaceAll(/[^\w-]/g, '_')
  const file = join(homeFolder(env), 'index', `${cluster}.db`)
  return {
    database: openIndex(file),
    source: { kafka, registry: createRegistry(connection.registryUrl) },
    file,
  }
}

const READ_ON = 'run it again, wait longer with --wait, or keep the index up with sallyport index'

/** What was asked for was not found, but may be among what the index has not read. */
export function notReadYet(behind: number): SallyportError {
  const message = `nothing was found so far, but the index is ${behind} records behind: ${READ_ON}`
  return new SallyportError('SP_INDEX', message, { retryable: true })
}

/**
 * Brings the index up to date and hands it over, with the records that it is still behind; the index is closed
 * afterwards.
 */
export async function withIndex<T>(
  options: IndexOptions,
  signal: AbortSignal,
  use: (database: DatabaseSync, behind: number) => Promise<T> | T,
): Promise<T> {
  const { database, source, file } = await openClusterIndex(options, process.env)
  const progress = new ProgressLine('indexing')
  try {
    const { behind } = await catchUp(database, source, {
      signal,
      timeoutMs: options.wait,
      onProgress: (done, total) => progress.update(done, total),
    })
    progress.end()
    const result = await use(database, behind)
    if (behind > 0) note(`the index is ${behind} records behind, so this may not be all: ${READ_ON}`)
    return result
  } catch (error) {
    throw isSqlite(error) ? indexError(file, error) : error
  } finally {
    progress.end()
    database.close()
  }
}

/** Whether SQLite complained: a full disk, a damaged file. */
export function isSqlite(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === 'ERR_SQLITE_ERROR'
}
