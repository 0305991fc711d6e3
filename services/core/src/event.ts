/**
 * The vocabulary of the line, and the envelope that walks it.
 *
 *     RawRequest → VerifiedDelivery → Event → EventRecord → Attempt → Outcome
 *
 * - source: a sender with a scheme and secrets
 * - delivery: one HTTP arrival
 * - event: the envelope below; it is never mutated, later stages wrap it
 * - record: an event at topic/partition/offset
 * - key: the event id
 * - task: what owns partition p of a processor's topics
 * - claim: the dedupe entry of an event id
 * - attempt: one run of a handler
 * - tier: a delay step
 * - outcome: processed | duplicate | retry | dead
 * - dead letter: parked, with its history
 * - redrive: send a dead letter round again; replay: run past events again on purpose
 * - generation: the offset of the operation in `sallyport.audit` that redrove or replayed an event; 0 for none
 * - tombstone: a null value that deletes a claim
 * - epoch, fencing: stale owners' writes are refused
 * - lag: records, or time, behind; watermark: the offset below which all is settled
 * - drain: finish what is in flight, take no more
 */

/** What an event id is made of; see `Event.identity`. */
export type Identity = 'SENDER_ID' | 'DIGEST'

/** The envelope: one accepted webhook. Its Avro form is `schemas/event.v1.avsc`. */
export interface Event {
  /**
   * `source/` + the sender's id where the signature covers it, else + the SHA-256 (hex) of the signed bytes.
   * An id outside the signature must not turn a replay into a new event.
   */
  readonly id: string
  /** Name of the source in `sallyport.yaml`. */
  readonly source: string
  /** The sender's event type, or `webhook` where the source names none. */
  readonly type: string
  readonly identity: Identity
  /** How long this id is remembered, ms, where the source has a window of its own; null: the general window. */
  readonly windowMs: number | null
  /** The sender's own id of the delivery, signed or not. */
  readonly senderId: string | null
  /** The signature scheme that accepted the delivery. */
  readonly scheme: string
  /** Which of the source's secrets matched: 0 is the current one. */
  readonly secretIndex: number
  /** ms since the epoch, the ingress's clock. */
  readonly receivedAt: number
  /** The sender's signed time in ms since the epoch, where the scheme has one. */
  readonly sentAt: number | null
  readonly contentType: string | null
  /** Headers that the source chose to keep, names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** The signed bytes, unchanged. */
  readonly body: Buffer
}

/** Separates the source's name from the rest of an event id; source names cannot contain it. */
export const ID_SEPARATOR = '/'

/** The claim key and record key of an event: scoped by source, so that two senders' equal ids never meet. */
export function eventId(source: string, rest: string): string {
  return source + ID_SEPARATOR + rest
}
