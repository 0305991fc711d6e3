import type { AvroSchema } from './codec.ts'
import type { SchemaRegistry } from './kafka/registry.ts'
import { ValueDecoder } from './value-decoder.ts'

/** What readers need of the registry. */
export type Schemas = Pick<SchemaRegistry, 'find'>

/** How many schemas are asked for at once. */
const AT_ONCE = 100

/**
 * Reads values in wire format as one schema, whatever version wrote them: the registry tells which. Everybody who reads
 * such values does so with it, or with the `ValueDecoder` in it.
 */
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

  /**
   * Asks the registry for the schemas of values, where they are not known yet; together, because doubts of many take as
   * long as that of one. Throws `SP_REGISTRY_UNREACHABLE`: then nothing may be passed over as unreadable.
   */
  async prepareAll(values: Iterable<Buffer | null>): Promise<void> {
    const unknown = new Set<number>()
    for (const value of values) {
      const schemaId = value === null ? undefined : this.#decoder.unknownSchemaOf(value)
      if (schemaId !== undefined) unknown.add(schemaId)
    }
    const ids = [...unknown]
    for (let i = 0; i < ids.length; i += AT_ONCE) {
      await Promise.all(ids.slice(i, i + AT_ONCE).map(id => this.#decoder.learn(id)))
    }
  }

  /** `prepareAll` of one. */
  async prepare(value: Buffer | null): Promise<void> {
    await this.prepareAll([value])
  }

  /** The datum of a prepared value; undefined where it is none. */
  readOrUndefined(value: Buffer): T | undefined {
    const decoded = this.#decoder.decode(value)
    return decoded.kind === 'value' ? decoded.value : undefined
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
