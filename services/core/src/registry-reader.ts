import { type AvroSchema, WireReader, wireSchemaId } from './codec.ts'
import { errorMessage } from './errors.ts'
import type { SchemaRegistry } from './kafka/registry.ts'

/** What readers need of the registry. */
export type Schemas = Pick<SchemaRegistry, 'find'>

/** Most schema ids that are remembered as unreadable: a foreign producer can invent any number. */
const UNREADABLE_MAX = 1_000

/** Reads values in wire format as one schema, whatever version wrote them: the registry tells which. */
export class RegistryReader<T> {
  readonly #reader: WireReader<T>
  readonly #registry: Schemas
  readonly #unreadable = new Map<number, string>()

  constructor(schema: AvroSchema, registry: Schemas) {
    this.#reader = new WireReader(schema)
    this.#registry = registry
  }

  /** Asks the registry for the schema of a value, where it is not known yet. Throws `SP_REGISTRY_UNREACHABLE`. */
  async prepare(value: Buffer | null): Promise<void> {
    const schemaId = value === null ? undefined : wireSchemaId(value)
    if (schemaId === undefined || this.#reader.knows(schemaId) || this.#unreadable.has(schemaId)) return
    const schema = await this.#registry.find(schemaId)
    if (this.#unreadable.size >= UNREADABLE_MAX) this.#unreadable.clear()
    if (schema === undefined) {
      this.#unreadable.set(schemaId, `the registry has no schema ${schemaId}`)
      return
    }
    try {
      this.#reader.learn(schemaId, schema)
    } catch (error) {
      this.#unreadable.set(schemaId, `schema ${schemaId} cannot be read so: ${errorMessage(error)}`)
    }
  }

  /** The datum of a prepared value; throws where it is none. */
  read(value: Buffer): T {
    const schemaId = wireSchemaId(value)
    if (schemaId === undefined) throw new TypeError('it is not in the wire format')
    if (!this.#reader.knows(schemaId)) {
      throw new TypeError(this.#unreadable.get(schemaId) ?? `schema ${schemaId} was not asked for`)
    }
    return this.#reader.read(value)
  }
}
