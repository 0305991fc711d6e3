/** The audit topic: reads operators' actions, and appends to them. */
import { AUDIT_SCHEMA, type AuditRecord, AuditState } from './audit.ts'
import { FoldedTopic, type FoldedTopicClients } from './folded-topic.ts'
import type { ProduceRecord } from './kafka/produce-record.ts'
import { AUDIT_TOPIC } from './topics.ts'

export class AuditLog {
  readonly #topic: FoldedTopic<AuditRecord>

  constructor(clients: FoldedTopicClients) {
    this.#topic = new FoldedTopic(AUDIT_TOPIC, AUDIT_SCHEMA, ({ processor }) => processor, clients)
  }

  /** Everything up to the present end, and at least through `offset`: an open transaction may hold that back a while. */
  async read(offset = -1): Promise<AuditState> {
    const { low, high } = await this.#topic.bounds()
    const state = new AuditState()
    for await (const _ of this.#topic.fold(state, { from: low, until: Math.max(high, offset + 1) }));
    return state
  }

  /** Follows the audit from its start: `onState` is called with every batch, once the present end is reached. */
  async follow(signal: AbortSignal, onState: (state: AuditState) => void): Promise<void> {
    const state = new AuditState()
    await this.#topic.follow(state, { signal }, () => onState(state))
  }

  /** Appends a record outside any transaction; returns its offset. */
  async append(record: AuditRecord): Promise<number> {
    return await this.#topic.append(record)
  }

  /** Registers the schema, so that `encode` can name it. */
  async prepare(): Promise<void> {
    await this.#topic.prepare()
  }

  /** The record as it stands in the topic, under the processor's name; `prepare` must have been called. */
  encode(record: AuditRecord): Omit<ProduceRecord, 'headers'> {
    return this.#topic.encode(record)
  }
}
