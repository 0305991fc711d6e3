/** A topic of one partition whose records come to one state: reads it, follows it, and appends to it. */
import { type AvroSchema, encodeWire } from './codec.ts'
import { SallyportError } from './errors.ts'
import type { PartitionBounds } from './kafka/admin.ts'
import { append } from './kafka/append.ts'
import type { FetchedRecord } from './kafka/group-consumer.ts'
import type { PartitionReader } from './kafka/partition-reader.ts'
import type { ProduceRecord } from './kafka/produce-record.ts'
import type { SchemaRegistry } from './kafka/registry.ts'
import type { ProducerCluster } from './kafka/transactions/producer-cluster.ts'
import { valueSubject } from './provision.ts'
import { RegistryReader } from './registry-reader.ts'
import { unlessAborted } from './unless-aborted.ts'

/** What records come to, taken one after the other. */
export interface Fold<T> {
  /** `at`: when Kafka took the record, ms since the epoch. */
  apply(offset: number, at: number, record: T): void
}

export interface FoldedTopicClients {
  readonly reader: PartitionReader
  readonly registry: SchemaRegistry
  /** For those who append. */
  readonly producers?: ProducerCluster | undefined
}

/** Offsets to read; without an end the reading goes on until `signal` aborts. */
export interface FoldRange {
  readonly from: number
  readonly until?: number
  readonly signal?: AbortSignal
  /** Only records under this key are taken. */
  readonly key?: string
}

export class FoldedTopic<T> {
  readonly #topic: string
  readonly #schema: AvroSchema
  readonly #keyOf: (record: T) => string
  readonly #clients: FoldedTopicClients
  readonly #records: RegistryReader<T>
  #schemaId: number | undefined

  constructor(topic: string, schema: AvroSchema, keyOf: (record: T) => string, clients: FoldedTopicClients) {
    this.#topic = topic
    this.#schema = schema
    this.#keyOf = keyOf
    this.#clients = clients
    this.#records = new RegistryReader(schema, clients.registry)
  }

  /** The offsets that it holds. */
  async bounds(): Promise<PartitionBounds> {
    return (await this.#clients.reader.bounds(this.#topic)).get(0) ?? { low: 0, high: 0 }
  }

  /** Takes the records of a range; yields, again and again, the offset below which everything is taken. */
  async *fold(state: Fold<T>, { key, ...range }: FoldRange): AsyncGenerator<number> {
    const request = { topic: this.#topic, partition: 0, ...range }
    const { signal } = range
    for await (const { records, nextOffset } of this.#clients.reader.read(request)) {
      const wanted = key === undefined ? records : records.filter(record => String(record.key) === key)
      const taking = this.#take(wanted, state)
      await (signal === undefined ? taking : unlessAborted(taking, signal))
      if (signal?.aborted === true) return
      yield nextOffset
    }
  }

  /**
   * Takes everything from `from` on, and what comes: `onState` is called once the present end is reached and with every
   * batch behind it, with the offset below which everything is taken.
   */
  async follow(
    state: Fold<T>,
    { from, signal }: { readonly from?: number; readonly signal: AbortSignal },
    onState: (end: number) => void,
  ): Promise<void> {
    const { low, high } = await this.bounds()
    const first = from ?? low
    if (high <= first) onState(high)
    for await (const end of this.fold(state, { from: first, signal })) if (end >= high) onState(end)
  }

  /** Appends records outside any transaction, in their order; returns the offset of the last one. */
  async append(...records: readonly T[]): Promise<number> {
    await this.prepare()
    const { producers } = this.#clients
    if (producers === undefined) throw new Error(`${this.#topic} is only read here`)
    const encoded = records.map(record => this.encode(record))
    return await append(producers, { topic: this.#topic, partition: 0, records: encoded })
  }

  /** Registers the schema, so that `encode` can name it. Throws `SP_REGISTRY_UNREACHABLE`. */
  async prepare(): Promise<void> {
    this.#schemaId ??= await this.#clients.registry.register(valueSubject(this.#topic), this.#schema)
  }

  /** The record as it stands in the topic; `prepare` must have been called. */
  encode(record: T): Omit<ProduceRecord, 'headers'> {
    const value = encodeWire(this.#schemaId as number, this.#schema.type, record)
    return { key: Buffer.from(this.#keyOf(record)), value }
  }

  /** What is no such record is passed over: a stranger's bytes must not stop who reads. */
  async #take(records: readonly FetchedRecord[], state: Fold<T>): Promise<void> {
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
