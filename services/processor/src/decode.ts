/** Between poll and claim: bytes → `EventRecord`, or why they are none. Nothing thrown. */
import { type AttemptRecord, parseHistory } from '@sallyport/core/attempt'
import { EVENT_SCHEMA, WireReader, wireSchemaId } from '@sallyport/core/codec'
import { errorMessage } from '@sallyport/core/errors'
import type { Event } from '@sallyport/core/event'
import { HEADER } from '@sallyport/core/headers'
import { type FetchedRecord, headerText } from '@sallyport/core/kafka/group-consumer'
import type { SchemaRegistry } from '@sallyport/core/kafka/registry'
import { partitionOf } from '@sallyport/core/partition'
import type { Round } from './claim.ts'
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

/** Most schema ids that are remembered as unreadable: a foreign producer can invent any number. */
const UNREADABLE_MAX = 1_000

export class EventDecoder {
  readonly #registry: SchemaRegistry
  readonly #partitions: number
  readonly #reader = new WireReader<Event>(EVENT_SCHEMA)
  /** Ids that the registry does not have, or whose schema is no event's, and why. */
  readonly #unreadable = new Map<number, string>()

  constructor(registry: SchemaRegistry, partitions: number) {
    this.#registry = registry
    this.#partitions = partitions
  }

  decode(record: FetchedRecord): Decoded {
    const { key, value } = record
    if (key === null || value === null)
      return poison('SP_POISON', `the record has no ${key === null ? 'key' : 'value'}`)
    const schemaId = wireSchemaId(value)
    if (schemaId === undefined)
      return poison('SP_POISON', 'the value is not in the wire format (magic byte 0, schema id, Avro)')
    if (!this.#reader.knows(schemaId)) {
      const reason = this.#unreadable.get(schemaId)
      return reason === undefined ? { kind: 'unknown-schema', schemaId } : poison('SP_POISON', reason)
    }
    let event: Event
    try {
      event = this.#reader.read(value)
    } catch (error) {
      return poison('SP_POISON', `the value is no ${EVENT_SCHEMA.name}: ${errorMessage(error)}`)
    }
    if (event.id !== key.toString()) return poison('SP_POISON', 'the key is not the event id')
    if (partitionOf(key, this.#partitions) !== record.partition) {
      return poison(
        'SP_MISPLACED',
        `the key belongs to partition ${partitionOf(key, this.#partitions)}, not ${record.partition}`,
      )
    }
    const round = {
      generation: count(record, HEADER.generation, 0),
      attempt: count(record, HEADER.attempt, 1),
    }
    const history = parseHistory(headerText(record.headers, HEADER.history))
    return { kind: 'event', eventRecord: { record, event, round, history } }
  }

  /** Asks the registry for a schema. Throws `SP_REGISTRY_UNREACHABLE` (retryable): nothing was learnt. */
  async learn(schemaId: number): Promise<void> {
    const schema = await this.#registry.find(schemaId)
    if (schema === undefined) {
      this.#markUnreadable(schemaId, `the registry has no schema ${schemaId}`)
      return
    }
    try {
      this.#reader.learn(schemaId, schema)
    } catch (error) {
      this.#markUnreadable(
        schemaId,
        `schema ${schemaId} (${schema.name}) is no ${EVENT_SCHEMA.name}: ${errorMessage(error)}`,
      )
    }
  }

  #markUnreadable(schemaId: number, reason: string): void {
    if (this.#unreadable.size >= UNREADABLE_MAX) this.#unreadable.clear()
    this.#unreadable.set(schemaId, reason)
  }
}

function poison(code: Failure['code'], message: string): Decoded {
  return { kind: 'poison', failure: { kind: 'fatal', code, message, blamesDependency: false } }
}

/** A header's whole number, or the default where it is absent or none. */
function count(record: FetchedRecord, name: string, absent: number): number {
  const text = headerText(record.headers, name)
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : absent
}
