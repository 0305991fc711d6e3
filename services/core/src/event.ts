/**
 * The vocabulary of the line, and the envelope that walks it.
 *
 *     RawRequest → VerifiedDelivery → Event → EventRecord → Attempt → Outcome
 *
 * - source: a sender with a scheme and secrets
 * - delivery: one HTTP arrival
 * - event: the envelope, `schemas/event.v1.avsc`; it is never mutated, later stages wrap it
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

/** The envelope and its parts, as `schemas/event.v1.avsc` says. */
export type { Event, Identity } from './contract.ts'

/** Separates the source's name from the rest of an event id; source names cannot contain it. */
export const ID_SEPARATOR = '/'

/** Longest event id, bytes of UTF-8; an ingress's are far shorter. Records repeat it in headers and claims. */
export const ID_BYTES_MAX = 1_024

/**
 * The claim key and record key of an event: scoped by source, so that two senders' equal ids never meet. `rest` is
 * covered by the signature: an id outside it must not turn a replay into a new event.
 */
export function eventId(source: string, rest: string): string {
  return source + ID_SEPARATOR + rest
}
