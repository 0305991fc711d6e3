import type { Event } from './event.ts'

/**
 * Record headers. CloudEvents attributes in binary mode (Kafka protocol binding 1.0: prefix `ce_`), W3C trace
 * context, and the product's own under `sallyport-`. Headers of our own are set, never appended: a record has
 * each at most once, however many hops it made.
 */
export const HEADER = {
  specVersion: 'ce_specversion',
  id: 'ce_id',
  source: 'ce_source',
  type: 'ce_type',
  time: 'ce_time',
  traceparent: 'traceparent',
  /** Number of the attempt that this record asks for: 1 is the first. On retry records and dead letters. */
  attempt: 'sallyport-attempt',
  /** On retry records: the delay of the tier when the record was written, ms. */
  delay: 'sallyport-delay',
  /** Offset in `sallyport.audit` of the operation that sent the record round again; absent means 0. */
  generation: 'sallyport-generation',
  /** `true` on records of the redrive lane that are past events run again, not dead letters; it stays with them. */
  replayed: 'sallyport-replayed',
  /**
   * On records of the redrive lane that are dead letters: 0; of a replayed event that could not be read the generation
   * of that replay. Earlier effects of its id do not count then; all others keep a redriven record from running.
   */
  redriven: 'sallyport-redriven',
  /** JSON list of every attempt so far, oldest first: see `AttemptRecord`. */
  history: 'sallyport-history',
  /** When the first attempt failed, and the last one; RFC 3339, the processor's clock. */
  firstFailedAt: 'sallyport-first-failed-at',
  lastFailedAt: 'sallyport-last-failed-at',
  /** Where a retry record or dead letter was first read: `topic/partition/offset`. */
  origin: 'sallyport-origin',
  /** Dead letters: reason class (`exhausted`, `fatal`, `poison`, `crashed`). */
  reason: 'sallyport-reason',
  /** Dead letters: error code of the last failure. */
  code: 'sallyport-code',
  /** Dead letters: message of the last failure, cut to 1,000 characters. */
  message: 'sallyport-message',
  /** Dead letters: name and version of the processor that gave up. */
  processor: 'sallyport-processor',
} as const

type HeaderValue = Buffer | string | null

/** Headers as they were read: a foreign producer may give a name no value, or several. */
export type ReadHeaders = Readonly<Record<string, HeaderValue | readonly HeaderValue[]>>

/** Headers of one record as text; a name at most once. */
export type RecordHeaders = Record<string, string>

/** The CloudEvents attributes of an event and its trace context. */
export function eventHeaders(event: Event, traceparent: string | undefined): RecordHeaders {
  const headers: RecordHeaders = {
    [HEADER.specVersion]: '1.0',
    [HEADER.id]: event.id,
    [HEADER.source]: event.source,
    [HEADER.type]: event.type,
    [HEADER.time]: isoTime(event.receivedAt),
  }
  if (traceparent !== undefined) headers[HEADER.traceparent] = traceparent
  return headers
}

let lastMs = Number.NaN
let lastIso = ''

/** A time in RFC 3339; at high rates many events share their millisecond. */
export function isoTime(ms: number): string {
  if (ms !== lastMs) {
    lastIso = new Date(ms).toISOString()
    lastMs = ms
  }
  return lastIso
}
