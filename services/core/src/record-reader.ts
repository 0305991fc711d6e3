import { type AvroSchema, WireReader, wireSchemaId } from './codec.ts'
import type { SchemaRegistry } from './kafka/registry.ts'

/** Reads values of one kind, and asks the registry for the schemas of other versions. */
export class RecordReader<T> {
  readonly #reader: WireReader<T>
  readonly #registry: SchemaRegistry

  constructor(schema: AvroSchema, registry: SchemaRegistry) {
    this.#reader = new WireReader(schema)
    this.#registry = registry
  }

  /** Throws what is wrong with the value, or `SP_REGISTRY_UNREACHABLE` (retryable): then nothing is known of it. */
  async read(value: Buffer): Promise<T> {
    const schemaId = wireSchemaId(value)
    if (schemaId === undefined) throw new TypeError('it is not in the wire format')
    if (!this.#reader.knows(schemaId)) {
      const schema = await this.#registry.find(schemaId)
      if (schema === undefined) throw new TypeError(`the registry has no schema ${schemaId}`)
      this.#reader.learn(schemaId, schema)
    }
    return this.#reader.read(value)
  }
}
