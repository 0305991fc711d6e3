import type { AvroSchema } from './codec.ts'
import type { SchemaRegistry } from './kafka/registry.ts'
import { ValueDecoder } from './value-decoder.ts'

/** What readers need of the registry. */
export type Schemas = Pick<SchemaRegistry, 'find'>

/** Reads values in wire format as one schema, whatever version wrote them: the registry tells which. */
export class RegistryReader<T> {
  readonly #decoder: ValueDecoder<T>

  /** `schemaId`: the id that the registry gave `schema`, where that is known. */
  constructor(schema: AvroSchema, registry: Schemas, schemaId?: number) {
    this.#decoder = new ValueDecoder(schema, registry.find)
    if (schemaId !== undefined) this.#decoder.know(schemaId)
  }

  /** Whether `read` can be called without `prepare`. */
  isPrepared(value: Buffer): boolean {
    return this.#decoder.unknownSchemaOf(value) === undefined
  }

  /** Asks the registry for the schema of a value, where it is not known yet. Throws `SP_REGISTRY_UNREACHABLE`. */
  async prepare(value: Buffer | null): Promise<void> {
    const schemaId = value === null ? undefined : this.#decoder.unknownSchemaOf(value)
    if (schemaId !== undefined) await this.#decoder.learn(schemaId)
  }

  /** The datum of a prepared value; throws a `TypeError` where it is none. */
  read(value: Buffer): T {
    const decoded = this.#decoder.decode(value)
    if (decoded.kind === 'value') return decoded.value
    throw new TypeError(
      decoded.kind === 'poison' ? decoded.reason : `schema ${decoded.schemaId} was not asked for`,
    )
  }

  /** `prepare`, then `read`. */
  async decode(value: Buffer): Promise<T> {
    await this.prepare(value)
    return this.read(value)
  }
}
