/**
 * Confluent wire format: byte 0 is 0, bytes 1–4 the schema id (big-endian), then the Avro datum.
 * Source: Confluent documentation, "Wire format".
 */
import { readFileSync } from 'node:fs'
import avro from 'avsc'
import type { Event } from './event.ts'

const MAGIC = 0
const PREFIX_BYTES = 5

/** An Avro schema of `schemas/`, parsed. */
export interface AvroSchema {
  /** Full name, e.g. `io.sallyport.Event`. */
  readonly name: string
  /** The schema's JSON, as registered. */
  readonly text: string
  readonly type: avro.Type
}

/** Loads a schema file; `name` is its file name in `schemas/` without the ending, e.g. `event.v1`. */
export function loadSchema(name: string): AvroSchema {
  return parseSchema(readFileSync(new URL(`../../../schemas/${name}.avsc`, import.meta.url), 'utf8'))
}

/** Parses a schema's JSON; throws what avsc says of a wrong one. Unions are read and written unwrapped. */
export function parseSchema(text: string): AvroSchema {
  const type = avro.Type.forSchema(JSON.parse(text), { wrapUnions: 'never' })
  return { name: type.name ?? '', text, type }
}

/** Where data are laid out before their length is known. Nothing here awaits, so one space serves all. */
const space = Buffer.allocUnsafe(64 * 1_024)

/** A datum in wire format. Throws avsc's error, which names the path, when the value does not fit the schema. */
export function encodeWire(schemaId: number, type: avro.Type, value: unknown): Buffer {
  // avsc's own `toBuffer` encodes what is longer than 1 KiB twice.
  const end = type.encode(value, space, PREFIX_BYTES)
  // Where the space is too short, `end` says by how much, below 0.
  const wire = Buffer.allocUnsafe(end < 0 ? space.length - end : end)
  if (end < 0) type.encode(value, wire, PREFIX_BYTES)
  else space.copy(wire, PREFIX_BYTES, PREFIX_BYTES, end)
  wire[0] = MAGIC
  wire.writeInt32BE(schemaId, 1)
  return wire
}

/** The schema id of a value in wire format, or undefined where it is not in that format; no registry gives one below 0. */
export function wireSchemaId(wire: Buffer): number | undefined {
  if (wire.length <= PREFIX_BYTES || wire[0] !== MAGIC) return undefined
  const schemaId = wire.readInt32BE(1)
  return schemaId < 0 ? undefined : schemaId
}

/** Decodes data that were written with one schema as another: fields added since get their defaults. */
export class WireReader<T> {
  readonly #reader: avro.Type
  readonly #resolvers = new Map<number, avro.Resolver>()

  constructor(reader: AvroSchema) {
    this.#reader = reader.type
  }

  /** Whether values of this schema id can be read without asking the registry. */
  knows(schemaId: number): boolean {
    return this.#resolvers.has(schemaId)
  }

  /** Remembers the schema that an id stands for; throws when it cannot be read as the reader's schema. */
  learn(schemaId: number, writer: AvroSchema): void {
    this.#resolvers.set(schemaId, this.#reader.createResolver(writer.type))
  }

  /** The datum; throws when the bytes are not one. The id must be known. */
  read(wire: Buffer): T {
    const resolver = this.#resolvers.get(wire.readInt32BE(1))
    return this.#reader.fromBuffer(wire.subarray(PREFIX_BYTES), resolver) as T
  }
}

export const EVENT_SCHEMA: AvroSchema = loadSchema('event.v1')

/** An event in wire format, under the id that the registry gave `EVENT_SCHEMA`. */
export function encodeEvent(schemaId: number, event: Event): Buffer {
  return encodeWire(schemaId, EVENT_SCHEMA.type, event)
}
