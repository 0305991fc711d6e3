import { AUDIT_SCHEMA } from './audit.ts'
import { type AvroSchema, EVENT_SCHEMA } from './codec.ts'
import type { Connection } from './connection.ts'
import { ensureTopics } from './kafka/admin.ts'
import { createKafka } from './kafka/client.ts'
import { createRegistry, type SchemaRegistry } from './kafka/registry.ts'
import type { Log } from './log.ts'
import { type Settings, topicPlan } from './settings.ts'
import { SOURCE_SECRET_SCHEMA } from './source-secrets.ts'
import {
  AUDIT_TOPIC,
  EVENTS_TOPIC,
  SOURCE_SECRETS_TOPIC,
  sharedTopicSpecs,
  type TopicSpec,
} from './topics.ts'

/** The subject under which a topic's value schema is registered (Confluent's TopicNameStrategy). */
export function valueSubject(topic: string): string {
  return `${topic}-value`
}

/** What a service needs to exist before it starts. */
export interface Provision {
  readonly topics: readonly TopicSpec[]
  /** Subject → schema. */
  readonly schemas: Readonly<Record<string, AvroSchema>>
}

/** What the ingress needs: the shared topics and their schemas. */
export function sharedProvision(settings: Settings): Provision {
  return {
    topics: sharedTopicSpecs(topicPlan(settings)),
    schemas: {
      [valueSubject(EVENTS_TOPIC)]: EVENT_SCHEMA,
      [valueSubject(AUDIT_TOPIC)]: AUDIT_SCHEMA,
      [valueSubject(SOURCE_SECRETS_TOPIC)]: SOURCE_SECRET_SCHEMA,
    },
  }
}

/**
 * Creates what is missing and checks the rest; safe to run from many processes at once. Returns the schema ids
 * by subject, which `registry` knows from then on. Throws `SP_TOPIC_MISMATCH`, `SP_PARTITION_COUNT`, `SP_SCHEMA_INCOMPATIBLE`, or, retryable,
 * `SP_BROKER_UNREACHABLE` and `SP_REGISTRY_UNREACHABLE`.
 */
export async function ensureProvision(
  provision: Provision,
  connection: Connection,
  log: Log,
  registry?: SchemaRegistry,
): Promise<ReadonlyMap<string, number>> {
  const asked = registry ?? createRegistry(connection.registryUrl)
  const registered = Promise.all(
    Object.entries(provision.schemas).map(async ([subject, schema]) => {
      const id = await asked.register(subject, schema)
      // Only where somebody keeps what is learnt.
      await registry?.recall(subject)
      return [subject, id] as const
    }),
  )
  const [ids] = await Promise.all([
    registered,
    ensureTopics(createKafka(connection, 'sallyport-provision', log), provision.topics),
  ])
  return new Map(ids)
}

/** `ensureProvision` for what all services share. */
export async function provision(settings: Settings, connection: Connection, log: Log): Promise<void> {
  await ensureProvision(sharedProvision(settings), connection, log)
}
