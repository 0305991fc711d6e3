/** Between poll and claim: bytes → `EventRecord`, or why they are none. Nothing thrown. */
import { type AttemptRecord, parseHistory } from '@sallyport/core/attempt'
import { EVENT_SCHEMA } from '@sallyport/core/codec'
import { type Event, ID_BYTES_MAX, ID_SEPARATOR } from '@sallyport/core/event'
import { HEADER } from '@sallyport/core/headers'
import { type FetchedRecord, headerText } from '@sallyport/core/kafka/group-consumer'
import type { SchemaRegistry } from '@sallyport/core/kafka/registry'
import { partitionOf } from '@sallyport/core/partition'
import { replayOf } from '@sallyport/core/round'
import { ValueDecoder } from '@sallyport/core/value-decoder'
import type { Round } from './claim.ts'
import { isClaimKey } from './claims-record.ts'
import type { Failure } from './failure.ts'

/** An event at topic/partition/offset. */
export interface EventRecord {
  readonly record: FetchedRecord
  readonly event: Event
  readonly round: Round
  /** The attempts before this one. */
  readonly history: readonly AttemptRecord[]
}

export type Decoded =
  | { readonly kind: 'event'; readonly eventRecord: EventRecord }
  | { readonly kind: 'poison'; readonly failure: Failure }
  /** The schema must be asked for first: `learn`. */
  | { readonly kind: 'unknown-schema'; readonly schemaId: number }

/** What a claim can hold; tiers are far fewer. */
const ATTEMPT_MAX = 0xffff

export class EventDecoder {
  readonly #values: ValueDecoder<Event>
  readonly #partitions: number

  constructor(registry: SchemaRegistry, partitions: number) {
    this.#values = new ValueDecoder<Event>(EVENT_SCHEMA, registry.find)
    this.#partitions = partitions
  }

  decode(record: FetchedRecord): Decoded {
    const { key, value } = record
    if (key === null || value === null)
      return poison('SP_POISON', `the record has no ${key === null ? 'key' : 'value'}`)
    const decoded = this.#values.decode(value)
    if (decoded.kind === 'unknown-schema') return decoded
    if (decoded.kind === 'poison') return poison('SP_POISON', decoded.reason)
    const event = decoded.value
    if (event.id !== key.toString()) return poison('SP_POISON', 'the key is not the event id')
    if (key.length > ID_BYTES_MAX)
      return poison('SP_POISON', `the event id has more than ${ID_BYTES_MAX} bytes`)
    // Else a foreign producer could write what passes for a task's own records in the claims topic.
    if (!event.id.startsWith(event.source + ID_SEPARATOR) || !isClaimKey(key))
      return poison('SP_POISON', 'the event id does not begin with the name of a source')
    if (partitionOf(key, this.#partitions) !== record.partition) {
      return poison(
        'SP_MISPLACED',
        `the key belongs to partition ${partitionOf(key, this.#partitions)}, not ${record.partition}`,
      )
    }
    const generation = count(record, HEADER.generation, 0, Number.MAX_SAFE_INTEGER)
    const attempt = count(record, HEADER.attempt, 1, ATTEMPT_MAX)
    const replay = replayOf(record.headers, generation)
    const round: Round = replay === 0 ? { generation, attempt } : { generation, attempt, replay }
    const history = parseHistory(headerText(record.headers, HEADER.history))
    return { kind: 'event', eventRecord: { record, event, round, history } }
  }

  /** Asks the registry for a schema. Throws `SP_REGISTRY_UNREACHABLE` (retryable): nothing was learnt. */
  async learn(schemaId: number): Promise<void> {
    await this.#values.learn(schemaId)
  }
}

function poison(code: Failure['code'], message: string): Decoded {
  return { kind: 'poison', failure: { kind: 'fatal', code, message, blamesDependency: false } }
}

/** A header's whole number; `first` where it is absent, none, or one that no hop can have written. */
function count(record: FetchedRecord, name: string, first: number, last: number): number {
  const text = headerText(record.headers, name)
  const number = text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : first
  return number >= first && number <= last ? number : first
}
