/**
 * Reads a partition of the claims topic back, from its start to this acquisition's barrier. The end offset would
 * not do: transaction markers and the empty batch that the log cleaner keeps lie behind the last record. All that
 * earlier owners committed lies before the barrier, because writing it fenced them.
 */
import { type AvroSchema, WireReader, wireSchemaId } from '@sallyport/core/codec'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import type { FetchedBatch, FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import type { SchemaRegistry } from '@sallyport/core/kafka/registry'
import type { ClaimState } from './claim.ts'
import type { ClaimStore } from './claim-store.ts'
import { BARRIER_SCHEMA, CLAIM_SCHEMA, POSITIONS_SCHEMA } from './config.ts'
import { POSITIONS_KEY } from './settle.ts'

/** Key of the barrier record. */
export const BARRIER_KEY = '#barrier'

/** Schema ids in the registry. */
export interface RestoreSchemas {
  readonly claim: number
  readonly positions: number
  readonly barrier: number
}

/** A reader of one kind of record in the claims topic, which asks the registry for schemas of other versions. */
class ClaimsReader<T> {
  readonly #reader: WireReader<T>
  readonly #registry: SchemaRegistry

  constructor(schema: AvroSchema, schemaId: number, registry: SchemaRegistry) {
    this.#reader = new WireReader(schema)
    this.#reader.learn(schemaId, schema)
    this.#registry = registry
  }

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

export class Restore {
  readonly #store: ClaimStore
  readonly #nonce: string
  readonly #claims: ClaimsReader<{ state: ClaimState; generation: number; attempt: number; windowMs: number }>
  readonly #positions: ClaimsReader<{ inputs: Record<string, number> }>
  readonly #barriers: ClaimsReader<{ nonce: string }>
  readonly #done = Promise.withResolvers<ReadonlyMap<string, number> | undefined>()
  #inputs: ReadonlyMap<string, number> | undefined
  #reading: Promise<void> = Promise.resolve()
  #finished = false
  /** Records read so far. */
  records = 0

  constructor(store: ClaimStore, nonce: string, schemas: RestoreSchemas, registry: SchemaRegistry) {
    this.#store = store
    this.#nonce = nonce
    this.#claims = new ClaimsReader(CLAIM_SCHEMA, schemas.claim, registry)
    this.#positions = new ClaimsReader(POSITIONS_SCHEMA, schemas.positions, registry)
    this.#barriers = new ClaimsReader(BARRIER_SCHEMA, schemas.barrier, registry)
    this.#done.promise.catch(() => {})
  }

  /** Resolves at the barrier with the positions record, if there is one; rejects with `SP_RESTORE`. */
  get done(): Promise<ReadonlyMap<string, number> | undefined> {
    return this.#done.promise
  }

  /** Takes a batch of the claims topic. What lies behind the barrier is not read: this owner wrote it. */
  offer(batch: FetchedBatch): void {
    this.#reading = this.#reading.then(() => this.#read(batch))
  }

  async #read(batch: FetchedBatch): Promise<void> {
    for (const record of batch.records) {
      if (this.#finished) return
      this.records++
      try {
        await this.#apply(record)
      } catch (error) {
        this.#finished = true
        this.#done.reject(unreadable(record, error))
      }
    }
  }

  async #apply({ key, value, timestamp }: FetchedRecord): Promise<void> {
    const name = String(key)
    if (name === BARRIER_KEY) {
      if (value === null || (await this.#barriers.read(value)).nonce !== this.#nonce) return
      this.#finished = true
      this.#done.resolve(this.#inputs)
    } else if (name === POSITIONS_KEY) {
      this.#inputs =
        value === null ? undefined : new Map(Object.entries((await this.#positions.read(value)).inputs))
    } else if (value === null) {
      this.#store.delete(name)
    } else {
      this.#store.set(name, { ...(await this.#claims.read(value)), at: timestamp })
    }
  }
}

function unreadable({ topic, partition, offset }: FetchedRecord, error: unknown): SallyportError {
  if (error instanceof SallyportError) return error
  return new SallyportError(
    'SP_RESTORE',
    `${topic}/${partition}/${offset} cannot be read (${errorMessage(error)}): only Sallyport may write to the claims topic`,
    { cause: error },
  )
}
