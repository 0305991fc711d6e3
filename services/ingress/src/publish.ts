/**
 * Stage 4: an `Event` → an acknowledged `EventRecord`.
 *
 * Resolves only when all in-sync replicas have the record of this very event. A rejection says nothing about
 * whether the record is there: the sender sends again, and the claim of the event id lets it count once.
 */
import { encodeEvent } from '@sallyport/core/codec'
import type { Event } from '@sallyport/core/event'
import { eventHeaders } from '@sallyport/core/headers'
import type { Publisher } from '@sallyport/core/kafka/publisher'
import { partitionOf } from '@sallyport/core/partition'

/** What stands between an event and its topic. */
export interface PublishTarget {
  readonly publisher: Publisher
  /** The id that the registry gave the event's schema. */
  readonly schemaId: number
  /** Partitions of `sallyport.events`. */
  readonly partitions: number
}

/** Rejects with `SP_NOT_PUBLISHED` when Kafka does not acknowledge before the deadline. */
export function publish(target: PublishTarget, event: Event, traceparent: string): Promise<void> {
  const key = Buffer.from(event.id)
  return target.publisher.publish({
    partition: partitionOf(key, target.partitions),
    key,
    value: encodeEvent(target.schemaId, event),
    headers: eventHeaders(event, traceparent),
  })
}
