/**
 * Keeps the index up with the topics.
 *
 * look (which topics there are, what they hold) → fit the positions → read from them → write
 *
 * F1. Whoever follows says so every second in the file; a command then waits for it instead of reading as well.
 *
 * A look every half minute finds new processors' topics; their reading begins at their start.
 */
import type { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { topicBounds, topicRetentions, withAdmin } from '@sallyport/core/kafka/admin'
import type { createKafka } from '@sallyport/core/kafka/client'
import type { SchemaRegistry } from '@sallyport/core/kafka/registry'
import { readTopics, type TopicReader } from '@sallyport/core/kafka/topic-reader'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import { expire, type Retention } from './expire.ts'
import { Gathering } from './gathering.ts'
import { type Bounds, fitPositions, recordsBehind, storedPositions } from './positions.ts'
import { topicRole } from './topics.ts'
import { IndexWriter, PositionsChanged } from './writer.ts'

export interface IndexSource {
  readonly kafka: ReturnType<typeof createKafka>
  readonly registry: SchemaRegistry
}

/** How a catching-up ended. */
export interface CaughtUp {
  /** Records that the topics held and the index does not yet. */
  readonly behind: number
}

const LOOK_MS = 30_000
const BEAT_MS = 1_000
/** A follower that has not said so for this long is gone, ms. */
const FOLLOWER_GONE_MS = 5_000
const POLL_MS = 50

/** What the topics hold now, and for how long. */
async function look({ kafka }: IndexSource): Promise<{ bounds: Bounds; retention: Retention }> {
  return await withAdmin(kafka, async admin => {
    const topics = (await admin.listTopics()).filter(topic => topicRole(topic) !== undefined)
    const bounds = await topicBounds(admin, topics)
    const retentions = topics.length === 0 ? new Map<string, number>() : await topicRetentions(admin, topics)
    const longest = (kind: string): number =>
      Math.max(
        0,
        ...topics.filter(topic => topicRole(topic)?.kind === kind).map(topic => retentions.get(topic) ?? 0),
      )
    const retention = {
      eventsMs: retentions.get(EVENTS_TOPIC) ?? Number.POSITIVE_INFINITY,
      deadLettersMs: longest('dead-letter'),
      auditMs: longest('audit'),
    }
    return { bounds, retention }
  })
}

/**
 * Brings the index up to what the topics hold at this moment, or says after `timeoutMs` how far behind it is. Throws
 * `SP_BROKER_UNREACHABLE`, `SP_REGISTRY_UNREACHABLE`, or the signal's reason.
 */
export async function catchUp(
  database: DatabaseSync,
  source: IndexSource,
  options: {
    readonly signal: AbortSignal
    readonly timeoutMs: number
    readonly onProgress: (done: number, total: number) => void
  },
): Promise<CaughtUp> {
  const { bounds, retention } = await look(source)
  fitPositions(database, bounds)
  const total = recordsBehind(database, bounds)
  const deadline = performance.now() + options.timeoutMs
  let behind = total
  const isDone = (): boolean => {
    behind = recordsBehind(database, bounds)
    options.onProgress(total - behind, total)
    options.signal.throwIfAborted()
    return behind === 0 || performance.now() > deadline
  }
  if (total > 0) await waitForFollower(database, isDone)
  while (!isDone()) await readUntil(database, source, isDone)
  expire(database, retention, Date.now())
  return { behind }
}

/** F1. Returns when the work is done, or nobody does it. */
async function waitForFollower(database: DatabaseSync, isDone: () => boolean): Promise<void> {
  const select = database.prepare('SELECT max(at) AS at FROM follower')
  for (;;) {
    const { at } = select.get() as { at: number | null }
    if (at === null || at < Date.now() - FOLLOWER_GONE_MS || isDone()) return
    await sleep(POLL_MS)
  }
}

async function readUntil(database: DatabaseSync, source: IndexSource, isDone: () => boolean): Promise<void> {
  const reading = await read(database, source)
  try {
    while (!isDone()) await Promise.race([sleep(POLL_MS), reading.failed])
  } catch (error) {
    if (!(error instanceof PositionsChanged)) throw error
  } finally {
    await reading.stop()
  }
}

/** Reads from the stored positions and writes what comes. */
async function read(database: DatabaseSync, { kafka, registry }: IndexSource): Promise<TopicReader> {
  const gathering = new Gathering(new IndexWriter(database, registry))
  const positions = storedPositions(database)
  const reading = await readTopics(kafka, 'index', positions, async batch => await gathering.add(batch))
  return {
    failed: Promise.race([reading.failed, gathering.failed]),
    async stop() {
      await reading.stop()
      gathering.end()
    },
  }
}

/**
 * Follows the topics until the signal aborts. `onCurrent` is called after each look with how far behind the index
 * was. Throws `SP_BROKER_UNREACHABLE` and `SP_REGISTRY_UNREACHABLE`, both retryable: call it again.
 */
export async function follow(
  database: DatabaseSync,
  source: IndexSource,
  options: { readonly signal: AbortSignal; readonly onLook: (behind: number) => void },
): Promise<void> {
  const beating = beat(database)
  try {
    while (!options.signal.aborted) {
      const { bounds, retention } = await look(source)
      fitPositions(database, bounds)
      expire(database, retention, Date.now())
      options.onLook(recordsBehind(database, bounds))
      await readFor(database, source, bounds, beating, options.signal)
    }
  } finally {
    beating.stop()
  }
}

/** Reads until the topics are others than these, the file was emptied, or the signal aborts. */
async function readFor(
  database: DatabaseSync,
  source: IndexSource,
  bounds: Bounds,
  beating: Beating,
  signal: AbortSignal,
): Promise<void> {
  const reading = await read(database, source)
  const aborted = new Promise<void>(resolve =>
    signal.addEventListener('abort', () => resolve(), { once: true }),
  )
  try {
    while (!signal.aborted) {
      await Promise.race([sleep(LOOK_MS, undefined, { ref: false }), aborted, reading.failed, beating.failed])
      if (signal.aborted) return
      const { bounds: now, retention } = await look(source)
      if (names(now) !== names(bounds)) return
      expire(database, retention, Date.now())
    }
  } catch (error) {
    if (!(error instanceof PositionsChanged)) throw error
  } finally {
    await reading.stop()
  }
}

function names(bounds: Bounds): string {
  return [...bounds]
    .map(([topic, { size }]) => `${topic}/${size}`)
    .sort()
    .join()
}

interface Beating {
  /** Rejects when the file can no longer be written. */
  readonly failed: Promise<never>
  stop(): void
}

/** F1. */
function beat(database: DatabaseSync): Beating {
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => {})
  const say = (): void => {
    database.exec(`DELETE FROM follower; INSERT INTO follower VALUES (${Date.now()})`)
  }
  say()
  const timer = setInterval(() => {
    try {
      say()
    } catch (error) {
      clearInterval(timer)
      failed.reject(error)
    }
  }, BEAT_MS)
  return {
    failed: failed.promise,
    stop() {
      clearInterval(timer)
      database.exec('DELETE FROM follower')
    },
  }
}
