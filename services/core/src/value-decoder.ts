import { type Clock, steadyClock } from './clock.ts'
import { type AvroSchema, WireReader, wireSchemaId } from './codec.ts'
import { errorMessage, SallyportError } from './errors.ts'
import { BELIEVED_MS, DENIED_MAX, type SchemaLookup } from './schema-book.ts'

export type DecodedValue<T> =
  | { readonly kind: 'value'; readonly value: T }
  | { readonly kind: 'poison'; readonly reason: string }
  /** The schema must be asked for first: `learn`. */
  | { readonly kind: 'unknown-schema'; readonly schemaId: number }

/** Why values of a schema cannot be read, and until when that is believed (G6). */
interface Unreadable {
  readonly reason: string
  readonly until: number
}

/** Values in wire format, read as one schema whatever version of it wrote them. Throws at no bytes. */
export class ValueDecoder<T> {
  readonly #schema: AvroSchema
  readonly #find: SchemaLookup
  readonly #clock: Clock
  readonly #reader: WireReader<T>
  /** Ids that the registry does not have, or whose schema cannot be read as ours. */
  readonly #unreadable = new Map<number, Unreadable>()

  constructor(schema: AvroSchema, find: SchemaLookup, clock: Clock = steadyClock) {
    this.#schema = schema
    this.#find = find
    this.#clock = clock
    this.#reader = new WireReader<T>(schema)
  }

  /** Values under this id are of the schema itself: nothing needs asking. */
  know(schemaId: number): void {
    this.#reader.learn(schemaId, this.#schema)
  }

  /** The schema that must be asked for before `decode` can read a value; undefined where there is nothing to ask. */
  unknownSchemaOf(wire: Buffer): number | undefined {
    const schemaId = wireSchemaId(wire)
    if (schemaId === undefined || this.#reader.knows(schemaId)) return undefined
    return this.#whyUnreadable(schemaId) === undefined ? schemaId : undefined
  }

  decode(wire: Buffer): DecodedValue<T> {
    const schemaId = wireSchemaId(wire)
    if (schemaId === undefined)
      return { kind: 'poison', reason: 'the value is not in the wire format (magic byte 0, schema id, Avro)' }
    if (!this.#reader.knows(schemaId)) {
      const reason = this.#whyUnreadable(schemaId)
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
    const [oldest] = this.#unreadable.keys()
    if (oldest !== undefined && this.#unreadable.size >= DENIED_MAX) this.#unreadable.delete(oldest)
    this.#unreadable.set(schemaId, { reason, until: this.#clock() + BELIEVED_MS })
  }

  #whyUnreadable(schemaId: number): string | undefined {
    const unreadable = this.#unreadable.get(schemaId)
    if (unreadable === undefined || this.#clock() < unreadable.until) return unreadable?.reason
    this.#unreadable.delete(schemaId)
    return undefined
  }
}
