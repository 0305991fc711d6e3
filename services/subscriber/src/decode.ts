/** Bytes → `SubscribedRecord`, or `PoisonRecord`. What others wrote never throws past here. */
import { type Context, defaultTextMapGetter, ROOT_CONTEXT } from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { loadSchema } from '@sallyport/core/codec'
import type { SchemaTypes } from '@sallyport/core/contract'
import { HEADER, type ReadHeaders } from '@sallyport/core/headers'
import type { SchemaLookup } from '@sallyport/core/schema-book'
import { unlessAborted } from '@sallyport/core/unless-aborted'
import { ValueDecoder } from '@sallyport/core/value-decoder'
import type { KafkaMessage } from 'kafkajs'
import type { PoisonRecord, SchemaName, SubscribedRecord } from './options.ts'

/** A record as kafkajs read it. */
export interface RawRecord {
  readonly topic: string
  readonly partition: number
  readonly message: KafkaMessage
}

export type Decoded<T> =
  | { readonly kind: 'record'; readonly record: SubscribedRecord<T> }
  | { readonly kind: 'poison'; readonly poison: PoisonRecord }

const propagator = new W3CTraceContextPropagator()

export class RecordDecoder<S extends SchemaName> {
  readonly #values: ValueDecoder<SchemaTypes[S]>

  constructor(schema: S, find: SchemaLookup) {
    this.#values = new ValueDecoder<SchemaTypes[S]>(loadSchema(schema), find)
  }

  /**
   * Asks the registry where the schema is new; undefined when `drain` aborts meanwhile. Throws `SP_REGISTRY_UNREACHABLE`
   * (retryable) only.
   */
  async decode(raw: RawRecord, drain: AbortSignal): Promise<Decoded<SchemaTypes[S]> | undefined> {
    const { message } = raw
    const headers = headersOf(message)
    const id = headers[HEADER.id]
    if (message.key === null || message.value === null) {
      return poisonOf(raw, headers, `the record has no ${message.key === null ? 'key' : 'value'}`)
    }
    if (id === undefined || id === '') return poisonOf(raw, headers, `the record has no ${HEADER.id} header`)
    let decoded = this.#values.decode(message.value)
    if (decoded.kind === 'unknown-schema') {
      await unlessAborted(this.#values.learn(decoded.schemaId), drain)
      if (drain.aborted) return undefined
      decoded = this.#values.decode(message.value)
    }
    if (decoded.kind !== 'value') {
      const reason = decoded.kind === 'poison' ? decoded.reason : `schema ${decoded.schemaId} was not learnt`
      return poisonOf(raw, headers, reason)
    }
    return {
      kind: 'record',
      record: {
        ...placeOf(raw),
        key: message.key.toString(),
        value: decoded.value,
        cloudEvent: {
          id,
          source: headers[HEADER.source] ?? '',
          type: headers[HEADER.type] ?? '',
          time: headers[HEADER.time] ?? '',
        },
        idempotencyKey: id,
        context: contextOf(headers),
        headers,
      },
    }
  }
}

function contextOf(headers: Readonly<Record<string, string>>): Context {
  return propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter)
}

function poisonOf(
  raw: RawRecord,
  headers: Readonly<Record<string, string>>,
  reason: string,
): { kind: 'poison'; poison: PoisonRecord } {
  const { key, value } = raw.message
  return { kind: 'poison', poison: { ...placeOf(raw), key, value, headers, reason } }
}

function placeOf({ topic, partition, message }: RawRecord) {
  return { topic, partition, offset: Number(message.offset), timestamp: Number(message.timestamp) }
}

function headersOf(message: KafkaMessage): Readonly<Record<string, string>> {
  const entries = Object.entries((message.headers ?? {}) as ReadHeaders).flatMap(([name, value]) => {
    const last = Array.isArray(value) ? value.at(-1) : value
    return last === undefined || last === null ? [] : [[name, last.toString()] as const]
  })
  return Object.fromEntries(entries)
}
