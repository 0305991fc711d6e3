/** The audit topic: reads operators' actions, and appends to them. */
import { AUDIT_SCHEMA, type AuditRecord, AuditState } from './audit.ts'
import { encodeWire } from './codec.ts'
import { SallyportError } from './errors.ts'
import { append } from './kafka/append.ts'
import type { FetchedBatch } from './kafka/group-consumer.ts'
import type { PartitionReader } from './kafka/partition-reader.ts'
import type { ProduceRecord } from './kafka/produce-record.ts'
import type { SchemaRegistry } from './kafka/registry.ts'
import type { ProducerCluster } from './kafka/transactions/producer-cluster.ts'
import { RegistryReader } from './registry-reader.ts'
import { AUDIT_TOPIC } from './topics.ts'
import { unlessAborted } from './unless-aborted.ts'

/** The subject under which the audit's schema is registered. */
const AUDIT_SUBJECT = `${AUDIT_TOPIC}-value`

export class AuditLog {
  readonly #reader: PartitionReader
  readonly #registry: SchemaRegistry
  readonly #records: RegistryReader<AuditRecord>
  readonly #producers: ProducerCluster | undefined
  #schemaId: number | undefined

  /** `producers`: for those who append. */
  constructor(reader: PartitionReader, registry: SchemaRegistry, producers?: ProducerCluster) {
    this.#producers = producers
    this.#reader = reader
    this.#registry = registry
    this.#records = new RegistryReader(AUDIT_SCHEMA, registry)
  }

  /** Everything up to the present end, and at least through `offset`: an open transaction may hold that back a while. */
  async read(offset = -1): Promise<AuditState> {
    const { low, high } = (await this.#reader.bounds(AUDIT_TOPIC)).get(0) ?? { low: 0, high: 0 }
    const state = new AuditState()
    const until = Math.max(high, offset + 1)
    for await (const batch of this.#reader.read({ topic: AUDIT_TOPIC, partition: 0, from: low, until })) {
      await this.#take(batch, state)
    }
    return state
  }

  /** Follows the audit from its start: `onState` is called with every batch, and once the present end is reached. */
  async follow(signal: AbortSignal, onState: (state: AuditState) => void): Promise<void> {
    const { low, high } = (await this.#reader.bounds(AUDIT_TOPIC)).get(0) ?? { low: 0, high: 0 }
    const state = new AuditState()
    if (high <= low) onState(state)
    for await (const batch of this.#reader.read({ topic: AUDIT_TOPIC, partition: 0, from: low, signal })) {
      await unlessAborted(this.#take(batch, state), signal)
      if (signal.aborted) return
      if (batch.nextOffset >= high) onState(state)
    }
  }

  /** What is no audit record is passed over: a stranger's bytes must not stop operators or processors. */
  async #take({ records }: FetchedBatch, state: AuditState): Promise<void> {
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

  /** Appends a record outside any transaction; returns its offset. */
  async append(record: AuditRecord): Promise<number> {
    await this.prepare()
    if (this.#producers === undefined) throw new Error('this audit is only read')
    const records = [this.encode(record)]
    return await append(this.#producers, { topic: AUDIT_TOPIC, partition: 0, records })
  }

  /** Registers the schema, so that `encode` can name it. */
  async prepare(): Promise<void> {
    this.#schemaId ??= await this.#registry.register(AUDIT_SUBJECT, AUDIT_SCHEMA)
  }

  /** The record as it stands in the topic, under the processor's name; `prepare` must have been called. */
  encode(record: AuditRecord): Omit<ProduceRecord, 'headers'> {
    const value = encodeWire(this.#schemaId as number, AUDIT_SCHEMA.type, record)
    return { key: Buffer.from(record.processor), value }
  }
}
