import { HEADER } from '@sallyport/core/headers'
import { type FetchedRecord, headerText } from '@sallyport/core/kafka/group-consumer'
import { partitionOf } from '@sallyport/core/partition'
import { replayOf } from '@sallyport/core/round'
import { traceIdOf } from '@sallyport/core/trace'

/** Where a record was first read. */
export interface Origin {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

/** What the identity of a record begins with that could not be read. No shell takes it for anything but a word. */
export const PLACE = 'at:'

/** One record of a dead-letter topic. Everything in it may come from a stranger. */
export interface DeadLetter {
  readonly record: FetchedRecord
  /**
   * What an operator calls it: the event id; for a record that could not be read `at:topic/partition/offset` of where
   * it was first read, which is no event's id: sources have no colon. A forger's unreadable record under an event's id
   * must not pass for that event's dead letter.
   */
  readonly identity: string
  /** The event id, as far as there is one. */
  readonly key: string
  readonly source: string
  readonly type: string
  readonly reason: string
  readonly code: string
  readonly message: string
  readonly attempt: number
  /** The operation that had sent it round when it died; 0: none. */
  readonly generation: number
  /**
   * Generation of the replay that it died in without having been read, so that the replay is still to run: earlier
   * effects of its id do not count. 0: none; then the id is DEAD since it died, or was never looked at.
   */
  readonly replay: number
  readonly origin: Origin | null
  /** Name and version of the processor that gave up. */
  readonly processor: string
  readonly traceId: string | undefined
}

export function deadLetter(record: FetchedRecord): DeadLetter {
  const header = (name: string): string => headerText(record.headers, name) ?? ''
  const key = record.key?.toString() ?? ''
  const reason = header(HEADER.reason)
  const origin = parseOrigin(header(HEADER.origin))
  const { topic, partition, offset } = origin ?? record
  const generation = count(header(HEADER.generation))
  return {
    record,
    identity: reason === 'poison' ? `${PLACE}${topic}/${partition}/${offset}` : key,
    key,
    source: header(HEADER.source) || key.slice(0, Math.max(0, key.indexOf('/'))),
    type: header(HEADER.type),
    reason,
    code: header(HEADER.code),
    message: header(HEADER.message),
    attempt: count(header(HEADER.attempt)),
    generation,
    replay: reason === 'poison' ? replayOf(record.headers, generation) : 0,
    origin,
    processor: header(HEADER.processor),
    traceId: traceIdOf(header(HEADER.traceparent)),
  }
}

/**
 * The partition, among so many, on which the letter's event is claimed and sent round again: that of its key. It is
 * another one than the letter's where the event was misplaced, or the topics have grown since. What cannot be read has
 * no event, and stays where it is.
 */
export function homeOf(letter: DeadLetter, partitions: number): number {
  const { key, partition } = letter.record
  return !isReadable(letter) || key === null ? partition : partitionOf(key, partitions)
}

/** Whether the processor could read it: then it is an event, and its key the event's id. */
export function isReadable({ reason, code }: DeadLetter): boolean {
  return reason !== 'poison' || code === 'SP_MISPLACED'
}

/** `topic/partition/offset`; null where the text is none. */
export function parseOrigin(text: string): Origin | null {
  const [, topic, partition, offset] = /^([\w.-]{1,249})\/(\d{1,6})\/(\d{1,15})$/.exec(text) ?? []
  if (topic === undefined) return null
  return { topic, partition: Number(partition), offset: Number(offset) }
}

function count(text: string): number {
  return /^\d{1,15}$/.test(text) ? Number(text) : 0
}
