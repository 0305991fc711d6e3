/**
 * The AsyncAPI 3 document of a pipeline: its topics as the settings make them, and what their records hold.
 *
 * Operations are told from the pipeline's side: it sends what it writes and receives what it reads, so a subscriber
 * receives what is sent here. Topics that are no part of the contract are described too, tagged `internal`.
 */
import { topicConfig } from '@sallyport/core/kafka/admin'
import type { Settings } from '@sallyport/core/settings'
import { AUDIT_TOPIC, EVENTS_TOPIC, SOURCE_SECRETS_TOPIC, type TopicSpec } from '@sallyport/core/topics'
import { type ProcessorConfig, processorProvision } from '@sallyport/processor/config'
import { type Json, MESSAGES, messageName, outputMessage } from './asyncapi-messages.ts'

/** What the records of a topic hold and whom they are for. */
interface TopicRole {
  readonly text: string
  readonly audience: 'contract' | 'internal'
  /** Names of the messages under `components.messages`. */
  readonly messages: readonly string[]
  /** Whether the pipeline reads it as well. */
  readonly isInput: boolean
}

/** Replicas where the cluster has three brokers, as `sallyport topics apply` creates them. */
const REPLICAS = 3
const BINDING_VERSION = '0.5.0'

/** The document, ready to be written as YAML or JSON. `version`: the product's. */
export function asyncApi(settings: Settings, processors: readonly ProcessorConfig[], version: string): Json {
  const specs = new Map<string, TopicSpec>()
  const roles = new Map<string, TopicRole>(Object.entries(sharedRoles()))
  const messages: Json = { ...MESSAGES }
  for (const processor of processors) {
    for (const spec of processorProvision(settings, processor).topics) specs.set(spec.name, spec)
    for (const [topic, role] of Object.entries(processorRoles(processor))) roles.set(topic, role)
    for (const schema of processor.outputs.values()) messages[messageName(schema)] ??= outputMessage(schema)
  }
  const topics = [...specs.values()].map(spec => ({ spec, role: roles.get(spec.name) as TopicRole }))
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Sallyport',
      version,
      description:
        'Webhooks of other companies, verified and durable in Kafka. Values are Avro in the Confluent wire format: byte 0 is 0, bytes 1–4 the schema id, then the datum. Read with isolation.level=read_committed. Topics tagged `contract` are for subscribers; the others are the pipeline’s own.',
      license: { name: 'Apache-2.0' },
    },
    defaultContentType: 'application/vnd.apache.avro+binary',
    servers: {
      kafka: {
        host: '{broker}',
        protocol: 'kafka-secure',
        description: 'The brokers of KAFKA_BROKERS; the schema registry is at SCHEMA_REGISTRY_URL.',
        variables: { broker: { default: 'localhost:9092', description: 'host:port of a broker' } },
      },
    },
    channels: Object.fromEntries(topics.map(({ spec, role }) => [spec.name, channel(spec, role)])),
    operations: Object.fromEntries(topics.flatMap(({ spec, role }) => operations(spec.name, role))),
    components: { messages },
  }
}

function channel(spec: TopicSpec, role: TopicRole): Json {
  return {
    address: spec.name,
    description: role.text,
    tags: [{ name: role.audience }],
    messages: Object.fromEntries(
      role.messages.map(name => [name, { $ref: `#/components/messages/${name}` }]),
    ),
    bindings: {
      kafka: {
        topic: spec.name,
        partitions: spec.partitions,
        replicas: REPLICAS,
        topicConfiguration: topicConfiguration(spec),
        bindingVersion: BINDING_VERSION,
      },
    },
  }
}

/** Kafka's settings of the topic, with the types that the binding gives them. */
function topicConfiguration(spec: TopicSpec): Json {
  const { 'cleanup.policy': cleanup = '', ...others } = topicConfig(spec, REPLICAS)
  const typed = Object.entries(others).map(([key, text]) => [key, /^-?\d+$/.test(text) ? Number(text) : text])
  return { 'cleanup.policy': cleanup.split(','), ...Object.fromEntries(typed) }
}

function operations(topic: string, role: TopicRole): [string, Json][] {
  const messages = role.messages.map(name => ({ $ref: `#/channels/${pointer(topic)}/messages/${name}` }))
  const operation = (action: 'send' | 'receive'): [string, Json] => [
    `${action} ${topic}`,
    { action, channel: { $ref: `#/channels/${pointer(topic)}` }, messages },
  ]
  return role.isInput ? [operation('send'), operation('receive')] : [operation('send')]
}

/** A name inside a JSON pointer. */
function pointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}

function sharedRoles(): Record<string, TopicRole> {
  return {
    [EVENTS_TOPIC]: {
      text: 'Every accepted webhook, keyed by event id. A delivery that a sender repeats is here twice, under the same id.',
      audience: 'contract',
      messages: ['Event'],
      isInput: true,
    },
    [AUDIT_TOPIC]: {
      text: 'Every operator’s action; its offset is the generation of the events that it sent round again.',
      audience: 'internal',
      messages: ['AuditRecord'],
      isInput: true,
    },
    [SOURCE_SECRETS_TOPIC]: {
      text: 'The secrets that senders handed over, sealed with a key that stands in no topic, and when an operator let them.',
      audience: 'internal',
      messages: ['SourceSecret'],
      isInput: true,
    },
  }
}

function processorRoles({ name, topics, outputs, delaysMs }: ProcessorConfig): Record<string, TopicRole> {
  const own = { audience: 'internal', isInput: true } as const
  const tiers = topics.retry.map((topic, i) => [
    topic,
    { ...own, text: `Events that wait ${delaysMs[i]} ms for ${name}.`, messages: ['Retry'] },
  ])
  const emitted = [...outputs].map(([topic, schema]) => [
    topic,
    {
      text: `What ${name} emits: once per event within the dedupe window.`,
      audience: 'contract',
      messages: [messageName(schema)],
      isInput: false,
    },
  ])
  return {
    ...Object.fromEntries(tiers),
    [topics.redrive]: {
      ...own,
      text: `Events that an operator sends round again to ${name}.`,
      messages: ['Retry'],
    },
    [topics.claims]: {
      ...own,
      text: `Dedupe state and positions of ${name}.`,
      messages: ['Claim', 'Positions', 'Barrier'],
    },
    [topics.deadLetter]: {
      text: `Events that ${name} gave up, original bytes, with the reason and every attempt in headers.`,
      audience: 'contract',
      messages: ['DeadLetter'],
      isInput: false,
    },
    ...Object.fromEntries(emitted),
  }
}
