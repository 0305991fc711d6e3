/**
 * Where a task's inputs begin. What the claims topic says is trusted; it was written with the effects. Where it
 * says nothing, the group's offsets do (read once the predecessor's transaction is resolved). Only an input that
 * nobody has read begins by the setting: the main topic where `start` says, the processor's own at their start.
 * One that was read so long ago that nothing tells where is read from its start. One that ends before its position is
 * read again from where nothing is lost and claims keep out what took effect.
 */
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import {
  groupOffsets,
  offsetSince,
  type PartitionBounds,
  topicBounds,
  withAdmin,
} from '@sallyport/core/kafka/admin'
import type { Log } from '@sallyport/core/log'
import { expiredUnprocessedTotal } from '@sallyport/core/metrics'
import type { ProcessorConfig } from './config.ts'
import type { InputSpec } from './inputs.ts'
import type { RestoredPositions } from './restore.ts'

export interface PositionReader {
  /** Offset of the first claim that is kept. */
  claimsStart(partition: number): Promise<number>
  /** Input topic → offset of the first record to read, at the brokers' time `now`. */
  resolve(
    partition: number,
    restored: RestoredPositions | undefined,
    now: number,
  ): Promise<ReadonlyMap<string, number>>
  /**
   * Offset of the first record that is kept, from a position on where there is none. Says what expired; throws
   * `SP_TOPIC_RECREATED` where the topic ends before it.
   */
  keptFrom(partition: number, topic: string, position: number): Promise<number>
}

type Kafka = Parameters<typeof withAdmin>[0]

/** A reader for one assignment: the topics' bounds are asked for once. `windowMs`: how long claims hold. */
export function readPositions(
  processor: ProcessorConfig,
  inputs: readonly InputSpec[],
  windowMs: number,
  kafka: Kafka,
  log: Log,
): PositionReader {
  const topics = [processor.topics.claims, ...inputs.map(({ topic }) => topic)]
  const bounds = withAdmin(kafka, admin => topicBounds(admin, topics))
  bounds.catch(() => {})

  async function boundsOf(topic: string, partition: number): Promise<PartitionBounds> {
    const found = (await bounds).get(topic)?.get(partition)
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
  ): Promise<ReadonlyMap<string, number>> {
    // Every record that came later is new, and what came within the window has its claim if it took effect.
    const since = restored === undefined ? 0 : Math.min(restored.writtenAt, now - windowMs)
    const missing = inputs.map(({ topic }) => topic).filter(topic => restored?.offsets.has(topic) !== true)
    const committed =
      missing.length === 0
        ? new Map<string, number>()
        : await withAdmin(kafka, admin => groupOffsets(admin, processor.groupId, missing, partition))
    const positions = new Map<string, number>()
    for (const { topic, kind } of inputs) {
      const { low, high } = await boundsOf(topic, partition)
      const known = restored?.offsets.get(topic) ?? committed.get(topic)
      const position = known ?? (kind === 'events' ? await beginning(topic, partition, low, high) : low)
      const found = position > high ? await again(topic, partition, position, since) : position
      positions.set(topic, checked(topic, partition, found, low))
    }
    return positions
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
  async function again(topic: string, partition: number, position: number, since: number): Promise<number> {
    const { low, high } = await freshBounds(topic, partition)
    if (position <= high) return position
    const found = await withAdmin(kafka, admin => offsetSince(admin, topic, partition, since))
    const from = Math.max(low, found ?? low)
    const error = new SallyportError(
      'SP_TOPIC_RECREATED',
      `${topic}/${partition} ends at ${high}, before the position ${position} of ${processor.name}: it was deleted and made again, or lost its end; it is read again from ${from}, and claims keep out what took effect`,
    )
    log.error({ topic, partition, position, high, from }, errorMessage(error))
    return from
  }

  async function keptFrom(partition: number, topic: string, position: number): Promise<number> {
    const { low, high } = await freshBounds(topic, partition)
    if (position > high) throw remadeError(topic, partition, high)
    return checked(topic, partition, position, low)
  }

  async function freshBounds(topic: string, partition: number): Promise<PartitionBounds> {
    const fresh = await withAdmin(kafka, admin => topicBounds(admin, [topic]))
    return fresh.get(topic)?.get(partition) ?? { low: 0, high: 0 }
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
