/**
 * Stage 4: an `Event` → an acknowledged `EventRecord`.
 *
 * Resolves only when all in-sync replicas have the record of this very event. A rejection says nothing about
 * whether the record is there: the sender sends again, and the claim of the event id lets it count once.
 *
 * Where the topic has got more partitions a record may lie on one that its key does not belong to. No 2xx is given for
 * it: the processors refuse it, and what the sender sends again goes to an ingress that knows the new count.
 */
import { encodeEvent } from '@sallyport/core/codec'
import { SallyportError } from '@sallyport/core/errors'
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

/** Whether the topic has as many partitions as keys are placed among; not so once an operator has made it grow. */
export function fits({ publisher, partitions }: PublishTarget): boolean {
  return publisher.partitions === 0 || publisher.partitions === partitions
}

export function grown({ publisher, partitions }: PublishTarget): SallyportError {
  return new SallyportError(
    'SP_PARTITION_COUNT',
    `the events topic has ${publisher.partitions} partitions, settings say ${partitions}: nothing is accepted any more, set topics.partitions and start again`,
  )
}

/**
 * Rejects with `SP_NOT_PUBLISHED` when Kafka does not acknowledge before the deadline, and with `SP_PARTITION_COUNT`
 * when the topic has grown.
 */
export async function publish(target: PublishTarget, event: Event, traceparent: string): Promise<void> {
  const key = Buffer.from(event.id)
  await target.publisher.publish({
    partition: partitionOf(key, target.partitions),
    key,
    value: encodeEvent(target.schemaId, event),
    headers: eventHeaders(event, traceparent),
  })
  if (!fits(target)) throw grown(target)
}
