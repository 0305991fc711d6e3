/** The topic of learnt secrets: reads it, and appends to it. */
import { FoldedTopic, type FoldedTopicClients } from './folded-topic.ts'
import { SOURCE_SECRET_SCHEMA, type SourceSecret, SourceSecrets } from './source-secrets.ts'
import { SOURCE_SECRETS_TOPIC } from './topics.ts'

export class SourceSecretLog {
  readonly #topic: FoldedTopic<SourceSecret>

  constructor(clients: Required<FoldedTopicClients>) {
    this.#topic = new FoldedTopic(SOURCE_SECRETS_TOPIC, SOURCE_SECRET_SCHEMA, ({ source }) => source, clients)
  }

  /** Everything up to the present end. */
  async read(): Promise<SourceSecrets> {
    const { low, high } = await this.#topic.bounds()
    const state = new SourceSecrets()
    for await (const _ of this.#topic.fold(state, { from: low, until: high }));
    return state
  }

  /**
   * Follows the topic from its start: `onState` is called with what is known, and with the offset below which everything
   * is, first when the present end is reached.
   */
  async follow(signal: AbortSignal, onState: (state: SourceSecrets, end: number) => void): Promise<void> {
    const state = new SourceSecrets()
    await this.#topic.follow(state, { signal }, end => onState(state, end))
  }

  /** Appends a record; returns its offset. Throws `SP_BROKER_UNREACHABLE`, `SP_REGISTRY_UNREACHABLE`. */
  async append(record: SourceSecret): Promise<number> {
    return await this.#topic.append(record)
  }
}
