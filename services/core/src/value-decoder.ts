import { type AvroSchema, WireReader, wireSchemaId } from './codec.ts'
import { errorMessage, SallyportError } from './errors.ts'
import type { SchemaLookup } from './schema-lookup.ts'

export type DecodedValue<T> =
  | { readonly kind: 'value'; readonly value: T }
  | { readonly kind: 'poison'; readonly reason: string }
  /** The schema must be asked for first: `learn`. */
  | { readonly kind: 'unknown-schema'; readonly schemaId: number }

/** Most schema ids that are remembered as unreadable: a foreign producer can invent any number. */
const UNREADABLE_MAX = 1_000

/** Values in wire format, read as one schema whatever version of it wrote them. Throws at no bytes. */
export class ValueDecoder<T> {
  readonly #schema: AvroSchema
  readonly #find: SchemaLookup
  readonly #reader: WireReader<T>
  /** Ids that the registry does not have, or whose schema cannot be read as ours, and why. */
  readonly #unreadable = new Map<number, string>()

  constructor(schema: AvroSchema, find: SchemaLookup) {
    this.#schema = schema
    this.#find = find
    this.#reader = new WireReader<T>(schema)
  }

  /** Values under this id are of the schema itself: nothing needs asking. */
  know(schemaId: number): void {
    this.#reader.learn(schemaId, this.#schema)
  }

  /** The schema that must be asked for before `decode` can read a value; undefined where there is nothing to ask. */
  unknownSchemaOf(wire: Buffer): number | undefined {
    const schemaId = wireSchemaId(wire)
    if (schemaId === undefined || this.#reader.knows(schemaId) || this.#unreadable.has(schemaId))
      return undefined
    return schemaId
  }

  decode(wire: Buffer): DecodedValue<T> {
    const schemaId = wireSchemaId(wire)
    if (schemaId === undefined)
      return { kind: 'poison', reason: 'the value is not in the wire format (magic byte 0, schema id, Avro)' }
    if (!this.#reader.knows(schemaId)) {
      const reason = this.#unreadable.get(schemaId)
      return reason === undefined ? { kind: 'unknown-schema', schemaId } : { kind: 'poison', reason }
    }
    try {
      return { kind: 'value', value: this.#reader.read(wire) }
    } catch (error) {
      return { kind: 'poison', reason: `the value is no ${this.#schema.name}: ${errorMessage(error)}` }
    }
  }

  /** Asks the registry for a schema. Throws `SP_REGISTRY_UNREACHABLE` (retryable): nothing was learnt. */
  async learn(schemaId: number): Promise<void> {
    let name = 'no Avro schema'
    try {
      const schema = await this.#find(schemaId)
      if (schema === undefined) {
        this.#markUnreadable(schemaId, `the registry has no schema ${schemaId}`)
        return
      }
      name = schema.name
      this.#reader.learn(schemaId, schema)
    } catch (error) {
      if (error instanceof SallyportError) throw error
      this.#markUnreadable(
        schemaId,
        `schema ${schemaId} (${name}) is no ${this.#schema.name}: ${errorMessage(error)}`,
      )
    }
  }

  #markUnreadable(schemaId: number, reason: string): void {
    if (this.#unreadable.size >= UNREADABLE_MAX) this.#unreadable.clear()
    this.#unreadable.set(schemaId, reason)
  }
}
