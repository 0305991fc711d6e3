/**
 * Where a task's inputs begin. What the claims topic says is trusted; it was written with the effects. Where it
 * says nothing, the group's offsets do (read once the predecessor's transaction is resolved). Only an input that
 * nobody has read begins by the setting: the main topic where `start` says, the processor's own at their start.
 * One that was read so long ago that nothing tells where is read from its start.
 *
 * A position is of one log (partition-logs.ts). In a topic that was made again nothing is settled: it is read from its
 * start. In a log that lost its end, all that is left of what was read is settled: it is read from there. Where nothing
 * tells that, and the log ends before the position, it is read again from the window before; what has outlived its own
 * window by then counts as settled if it was there when the positions were written.
 */
import type { InputLog } from '@sallyport/core/contract'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import {
  groupOffsets,
  offsetSince,
  type PartitionBounds,
  topicBounds,
  withAdmin,
} from '@sallyport/core/kafka/admin'
import type { PartitionLogs } from '@sallyport/core/kafka/partition-logs'
import type { Log } from '@sallyport/core/log'
import { expiredUnprocessedTotal } from '@sallyport/core/metrics'
import type { ProcessorConfig } from './config.ts'
import type { InputSpec } from './inputs.ts'
import type { InputStart } from './poll.ts'
import type { RestoredPositions } from './restore.ts'

export interface PositionReader {
  /** Offset of the first claim that is kept. */
  claimsStart(partition: number): Promise<number>
  /** Input topic → where it begins, at the brokers' time `now`. */
  resolve(
    partition: number,
    restored: RestoredPositions | undefined,
    now: number,
  ): Promise<ReadonlyMap<string, InputStart>>
  /**
   * Offset of the first record that is kept, from a position on where there is none. Says what expired; throws
   * `SP_TOPIC_RECREATED` where the topic ends before it.
   */
  keptFrom(partition: number, topic: string, position: number): Promise<number>
}

type Kafka = Parameters<typeof withAdmin>[0]

/** What tells logs apart. */
export type Logs = Pick<PartitionLogs, 'topicIds' | 'epochEnd'>

/** A position that was written, and what it is of. */
interface KnownPosition {
  readonly topic: string
  readonly partition: number
  readonly position: number
  readonly log: InputLog | undefined
}

/** Of a partition that is not there. */
const EMPTY: PartitionBounds = { low: 0, high: 0 }

/**
 * A reader for one assignment: the topics' bounds and ids are asked for once. `windowMs`: how long claims hold at most.
 */
export function readPositions(
  processor: ProcessorConfig,
  inputs: readonly InputSpec[],
  windowMs: number,
  kafka: Kafka,
  logs: Logs,
  log: Log,
): PositionReader {
  const topics = [processor.topics.claims, ...inputs.map(({ topic }) => topic)]
  const bounds = withAdmin(kafka, admin => topicBounds(admin, topics, 'omit'))
  bounds.catch(() => {})
  const topicIds = logs.topicIds(inputs.map(({ topic }) => topic))
  topicIds.catch(() => {})

  async function boundsOf(topic: string, partition: number): Promise<PartitionBounds> {
    const found = (await bounds).get(topic)?.get(partition) ?? (await freshBounds(topic, partition))
    if (found !== undefined) return found
    throw new SallyportError(
      'SP_PARTITION_COUNT',
      `${topic} has no partition ${partition}. Run: npx sallyport topics grow`,
    )
  }

  async function resolve(
    partition: number,
    restored: RestoredPositions | undefined,
    now: number,
  ): Promise<ReadonlyMap<string, InputStart>> {
    const missing = inputs.map(({ topic }) => topic).filter(topic => restored?.offsets.has(topic) !== true)
    const committed =
      missing.length === 0
        ? new Map<string, number>()
        : await withAdmin(kafka, admin => groupOffsets(admin, processor.groupId, missing, partition))
    const ids = await topicIds
    const starts = inputs.map(async ({ topic, kind }): Promise<readonly [string, InputStart]> => {
      const { low, high } = await boundsOf(topic, partition)
      const position = restored?.offsets.get(topic) ?? committed.get(topic)
      const topicId = ids.get(topic) as string
      const unread: InputLog = { topicId, leaderEpoch: -1, readTo: 0, held: null }
      if (position === undefined) {
        const offset = kind === 'events' ? await beginning(topic, partition, low, high) : low
        return [topic, { offset, log: unread }]
      }
      const known = { topic, partition, position, log: restored?.logs.get(topic) }
      const start = await startAt(known, topicId, restored?.writtenAt, now)
      return [topic, { log: unread, ...start, offset: checked(topic, partition, start.offset, low) }]
    })
    return new Map(await Promise.all(starts))
  }

  /** `writtenAt`: when the position was written; undefined where the group's offsets are all there is. */
  async function startAt(
    known: KnownPosition,
    topicId: string,
    writtenAt: number | undefined,
    now: number,
  ): Promise<InputStart> {
    const { topic, partition, position, log } = known
    if (log !== undefined && log.topicId !== topicId) return await remade(known)
    if (log !== undefined && log.leaderEpoch >= 0) {
      const end = await logs.epochEnd(topic, partition, log.leaderEpoch)
      if (end !== undefined && end < Math.min(position, log.readTo)) return await shortened(known, log, end)
      if (end !== undefined) return { offset: position, log }
    }
    const { high } = await boundsOf(topic, partition)
    const start = position > high ? await again(known, writtenAt, now) : { offset: position }
    return log === undefined ? start : { ...start, log }
  }

  /** Another topic under the name: nothing of it is settled, and what took effect before has its claim for its window. */
  async function remade({ topic, partition, position }: KnownPosition): Promise<InputStart> {
    const { low } = (await freshBounds(topic, partition)) ?? EMPTY
    const error = new SallyportError(
      'SP_TOPIC_RECREATED',
      `${topic}/${partition} is not the one in which ${processor.name} stood at ${position}: the topic was deleted and made again; it is read from its start, ${low}, and claims keep out what took effect`,
    )
    log.error({ topic, partition, position, from: low }, errorMessage(error))
    return { offset: low }
  }

  /** The log lost its end: what is left of what was read is settled, and the rest came later. */
  async function shortened(
    { topic, partition, position }: KnownPosition,
    inputLog: InputLog,
    end: number,
  ): Promise<InputStart> {
    const error = new SallyportError(
      'SP_TOPIC_RECREATED',
      `${topic}/${partition} lost its records from ${end} on, before the position ${position} of ${processor.name}; it is read from there: what lies before is settled`,
    )
    log.error({ topic, partition, position, from: end }, errorMessage(error))
    return { offset: end, log: { ...inputLog, readTo: end, held: null } }
  }

  /**
   * Where the events begin for a processor without any position. Where its claims topic has lost its start, it is not
   * new: it stood still until positions, claims and the group's offsets had expired. Then `latest` would skip, without
   * a word, what waited for it.
   */
  async function beginning(topic: string, partition: number, low: number, high: number): Promise<number> {
    const claims = await boundsOf(processor.topics.claims, partition)
    if (claims.low === 0) return processor.start === 'latest' ? high : low
    const error = new SallyportError(
      'SP_POSITION_EXPIRED',
      `the position of ${processor.name} in ${topic}/${partition} has expired, and its claims have, because it did not run for long: it begins at the first event that is kept, and may run events again that it processed before; look for what kept it from running`,
    )
    log.error({ topic, partition, position: low }, errorMessage(error))
    return low
  }

  /** A position behind the end: the end has moved since it was asked for, or the topic is another one than it was. */
  async function again(
    { topic, partition, position }: KnownPosition,
    writtenAt: number | undefined,
    now: number,
  ): Promise<InputStart> {
    const { low, high } = (await freshBounds(topic, partition)) ?? EMPTY
    if (position <= high) return { offset: position }
    // Every record that came later is new, and what came within its own window has its claim if it took effect.
    const since = writtenAt === undefined ? 0 : Math.min(writtenAt, now - windowMs)
    const found = await withAdmin(kafka, admin => offsetSince(admin, topic, partition, since))
    const from = Math.max(low, found ?? low)
    const error = new SallyportError(
      'SP_TOPIC_RECREATED',
      `${topic}/${partition} ends at ${high}, before the position ${position} of ${processor.name}: it was deleted and made again, or lost its end; it is read again from ${from}, and claims keep out what took effect`,
    )
    log.error({ topic, partition, position, high, from }, errorMessage(error))
    return { offset: from, readAgainUntil: writtenAt }
  }

  async function keptFrom(partition: number, topic: string, position: number): Promise<number> {
    const { low, high } = (await freshBounds(topic, partition)) ?? EMPTY
    if (position > high) throw remadeError(topic, partition, high)
    return checked(topic, partition, position, low)
  }

  async function freshBounds(topic: string, partition: number): Promise<PartitionBounds | undefined> {
    const fresh = await withAdmin(kafka, admin => topicBounds(admin, [topic]))
    return fresh.get(topic)?.get(partition)
  }

  /** Retention may have overtaken a processor that stood still for long: that is loss, and must be loud. */
  function checked(topic: string, partition: number, position: number, low: number): number {
    if (position >= low) return position
    const error = new SallyportError(
      'SP_POSITION_EXPIRED',
      `${low - position} records of ${topic}/${partition} expired before ${processor.name} processed them: raise the retention, and look for what kept it from running`,
    )
    log.error({ topic, partition, records: low - position }, errorMessage(error))
    expiredUnprocessedTotal.inc({ processor: processor.name }, low - position)
    return low
  }

  return {
    claimsStart: async partition => (await boundsOf(processor.topics.claims, partition)).low,
    resolve,
    keptFrom,
  }
}

/** A topic that ends before what was read of it. The next owner finds its position behind the end as well. */
export function remadeError(topic: string, partition: number, end: number): SallyportError {
  return new SallyportError(
    'SP_TOPIC_RECREATED',
    `${topic}/${partition} ends at ${end}, before what was read of it: it was deleted and made again, or lost its end; the processor starts again`,
  )
}
