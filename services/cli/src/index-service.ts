import { setTimeout as sleep } from 'node:timers/promises'
import { indexError, inTransaction, makeAnew } from '@sallyport/console/index/database'
import { follow } from '@sallyport/console/index/follower'
import { SallyportError } from '@sallyport/core/errors'
import { createLog } from '@sallyport/core/log'
import { isSqlite, type OpenIndex, openClusterIndex } from './index-access.ts'
import type { KafkaOptions } from './kafka-options.ts'
import { stopSignal } from './stop-signal.ts'

interface IndexServiceOptions extends KafkaOptions {
  readonly rebuild?: boolean
}

const RETRY_MS = 1_000

/** `sallyport index`: a service; it waits for a broker that is away. */
export async function runIndex({ rebuild, ...options }: IndexServiceOptions): Promise<void> {
  const log = createLog('index')
  const stopping = new AbortController()
  void stopSignal().then(() => stopping.abort())
  let index: OpenIndex | undefined
  while (!stopping.signal.aborted) {
    try {
      if (index === undefined) {
        index = await openClusterIndex(options, process.env)
        const { database } = index
        if (rebuild) inTransaction(database, () => makeAnew(database))
      }
      await follow(index.database, index.source, {
        signal: stopping.signal,
        onLook: behind => log.info({ file: index?.file, behind }, 'following the topics'),
      })
    } catch (error) {
      if (isSqlite(error)) throw indexError(index?.file ?? '', error)
      if (!(error instanceof SallyportError) || !error.retryable) throw error
      log.warn({ error: error.message }, 'waiting to follow the topics')
      await sleep(RETRY_MS, undefined, { signal: stopping.signal }).catch(() => {})
    }
  }
  index?.database.close()
}
