/** The topic of learnt secrets: reads it, and appends to it. */
import { encodeWire } from './codec.ts'
import { SallyportError } from './errors.ts'
import { append } from './kafka/append.ts'
import type { FetchedBatch } from './kafka/group-consumer.ts'
import type { PartitionReader } from './kafka/partition-reader.ts'
import type { SchemaRegistry } from './kafka/registry.ts'
import type { ProducerCluster } from './kafka/transactions/producer-cluster.ts'
import { RegistryReader } from './registry-reader.ts'
import { SOURCE_SECRET_SCHEMA, type SourceSecret, SourceSecrets } from './source-secrets.ts'
import { SOURCE_SECRETS_TOPIC } from './topics.ts'
import { unlessAborted } from './unless-aborted.ts'

const SUBJECT = `${SOURCE_SECRETS_TOPIC}-value`

export class SourceSecretLog {
  readonly #producers: ProducerCluster
  readonly #reader: PartitionReader
  readonly #registry: SchemaRegistry
  readonly #records: RegistryReader<SourceSecret>
  #schemaId: number | undefined

  constructor(producers: ProducerCluster, reader: PartitionReader, registry: SchemaRegistry) {
    this.#producers = producers
    this.#reader = reader
    this.#registry = registry
    this.#records = new RegistryReader(SOURCE_SECRET_SCHEMA, registry)
  }

  /** Everything up to the present end. */
  async read(): Promise<SourceSecrets> {
    const { low, high } = await this.#bounds()
    const state = new SourceSecrets()
    for await (const batch of this.#reader.read({
      topic: SOURCE_SECRETS_TOPIC,
      partition: 0,
      from: low,
      until: high,
    })) {
      await this.#take(batch, state)
    }
    return state
  }

  /**
   * Follows the topic from its start: `onState` is called with what is known, and with the offset below which everything
   * is, first when the present end is reached.
   */
  async follow(signal: AbortSignal, onState: (state: SourceSecrets, end: number) => void): Promise<void> {
    const { low, high } = await this.#bounds()
    const state = new SourceSecrets()
    if (high <= low) onState(state, high)
    for await (const batch of this.#reader.read({
      topic: SOURCE_SECRETS_TOPIC,
      partition: 0,
      from: low,
      signal,
    })) {
      await unlessAborted(this.#take(batch, state), signal)
      if (signal.aborted) return
      if (batch.nextOffset >= high) onState(state, batch.nextOffset)
    }
  }

  /** Appends a record; returns its offset. Throws `SP_BROKER_UNREACHABLE`, `SP_REGISTRY_UNREACHABLE`. */
  async append(record: SourceSecret): Promise<number> {
    this.#schemaId ??= await this.#registry.register(SUBJECT, SOURCE_SECRET_SCHEMA)
    const value = encodeWire(this.#schemaId, SOURCE_SECRET_SCHEMA.type, record)
    const records = [{ key: Buffer.from(record.source), value }]
    return await append(this.#producers, { topic: SOURCE_SECRETS_TOPIC, partition: 0, records })
  }

  async #bounds(): Promise<{ low: number; high: number }> {
    return (await this.#reader.bounds(SOURCE_SECRETS_TOPIC)).get(0) ?? { low: 0, high: 0 }
  }

  /** What is no such record is passed over: a stranger's bytes must not stop the ingresses. */
  async #take({ records }: FetchedBatch, state: SourceSecrets): Promise<void> {
    await this.#records.prepareAll(records.map(({ value }) => value))
    for (const { offset, timestamp, value } of records) {
      if (value === null) continue
      try {
        state.apply(offset, timestamp, this.#records.read(value))
      } catch (error) {
        if (error instanceof SallyportError) throw error
      }
    }
  }
}
