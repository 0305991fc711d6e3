import { SallyportError } from './errors.ts'

/** Every accepted event, keyed by event id. */
export const EVENTS_TOPIC = 'sallyport.events'
/** Every operator's action; one partition, so that offsets order them: an offset is a generation. */
export const AUDIT_TOPIC = 'sallyport.audit'
/** The secrets that senders handed over, sealed, and when they may; one partition, so that all agree on their order. */
export const SOURCE_SECRETS_TOPIC = 'sallyport.source-secrets'

/** The topics of one processor. All are co-partitioned with `sallyport.events`: partition p belongs to task p. */
export interface ProcessorTopics {
  /** `sallyport.P.retry.1…n`, in the order of the tiers. */
  readonly retry: readonly string[]
  readonly redrive: string
  readonly claims: string
  readonly deadLetter: string
}

export function processorTopics(processor: string, tiers: number): ProcessorTopics {
  return {
    retry: Array.from({ length: tiers }, (_, i) => `sallyport.${processor}.retry.${i + 1}`),
    redrive: `sallyport.${processor}.redrive`,
    claims: `sallyport.${processor}.claims`,
    deadLetter: `sallyport.${processor}.dead-letter`,
  }
}

/** Which tier of the processor a topic is, 1 is the first; undefined where it is none. */
export function retryTier(processor: string, topic: string): number | undefined {
  const prefix = `sallyport.${processor}.retry.`
  const number = topic.slice(prefix.length)
  return topic.startsWith(prefix) && /^[1-9]\d{0,2}$/.test(number) ? Number(number) : undefined
}

/** A topic as it should exist. All have `message.timestamp.type=LogAppendTime`. */
export interface TopicSpec {
  readonly name: string
  readonly partitions: number
  readonly cleanup: 'delete' | 'compact,delete'
  /** -1: for ever. */
  readonly retentionMs: number
  /** Kafka's `segment.ms`; the broker's default (7 days) where absent. */
  readonly segmentMs?: number
  /** Kafka's `max.message.bytes`. */
  readonly recordBytesMax: number
}

/** What the topics' settings follow from. */
export interface TopicPlan {
  /** Partitions of the co-partitioned topics. */
  readonly partitions: number
  /** The dedupe window, ms. */
  readonly windowMs: number
  /** Retention of dead letters, ms. */
  readonly deadLetterRetentionMs: number
  /** Longest body that the ingress takes, bytes. */
  readonly bodyBytesMax: number
}

const DAY_MS = 86_400_000
const FOR_EVER_MS = -1
/** Room in a record for the envelope and its kept headers. */
const ENVELOPE_BYTES = 65_536
/** Room for what hops add: attempts, the last failure. */
const HOP_BYTES = 65_536
/** Kafka's `delete.retention.ms` of claims: tombstones and transaction markers must outlive the longest restore. */
export const CLAIMS_DELETE_RETENTION_MS = DAY_MS
const CLAIM_RECORD_BYTES_MAX = 1_048_576

/** Largest record of `sallyport.events`, bytes: room for the longest body, and never below Kafka's usual 1 MiB. */
export function eventRecordBytesMax(bodyBytesMax: number): number {
  return Math.max(bodyBytesMax + ENVELOPE_BYTES, CLAIM_RECORD_BYTES_MAX)
}

/** How long events are kept, and with them what can be replayed: twice the window, and at least 7 days. */
function eventRetentionMs(plan: TopicPlan): number {
  return Math.max(2 * plan.windowMs, 7 * DAY_MS)
}

/**
 * At least 7 days more than the delay, in whole days: a processor that stands still for a week loses nothing, and
 * another delay seldom asks for another retention.
 */
function retryRetentionMs(delayMs: number): number {
  return (7 + Math.ceil(delayMs / DAY_MS)) * DAY_MS
}

/** The topics that belong to no processor. */
export function sharedTopicSpecs(plan: TopicPlan): TopicSpec[] {
  return [
    {
      name: EVENTS_TOPIC,
      partitions: plan.partitions,
      cleanup: 'delete',
      retentionMs: eventRetentionMs(plan),
      recordBytesMax: eventRecordBytesMax(plan.bodyBytesMax),
    },
    {
      name: AUDIT_TOPIC,
      partitions: 1,
      cleanup: 'delete',
      // A pause holds until it is lifted, and what an operation sent must be known for as long as a dead letter.
      retentionMs: FOR_EVER_MS,
      recordBytesMax: CLAIM_RECORD_BYTES_MAX,
    },
    {
      name: SOURCE_SECRETS_TOPIC,
      partitions: 1,
      // Not compacted: of several secrets that were offered at once the first counts, for whoever reads it later too.
      cleanup: 'delete',
      retentionMs: FOR_EVER_MS,
      recordBytesMax: CLAIM_RECORD_BYTES_MAX,
    },
  ]
}

/** The topics of one processor with tiers of these delays, and the outputs that it names. */
export function processorTopicSpecs(
  plan: TopicPlan,
  processor: string,
  delaysMs: readonly number[],
  outputs: readonly string[],
): TopicSpec[] {
  const topics = processorTopics(processor, delaysMs.length)
  const hopBytesMax = eventRecordBytesMax(plan.bodyBytesMax) + HOP_BYTES
  // The active segment is neither compacted nor deleted: without a short one the claims would pile up for days.
  const segmentMs = Math.max(Math.round(plan.windowMs / 12), 60_000)
  const copy = { partitions: plan.partitions, cleanup: 'delete', recordBytesMax: hopBytesMax } as const
  return [
    ...topics.retry.map((name, i) => ({
      ...copy,
      name,
      retentionMs: retryRetentionMs(delaysMs[i] as number),
    })),
    { ...copy, name: topics.redrive, retentionMs: eventRetentionMs(plan) },
    {
      name: topics.claims,
      partitions: plan.partitions,
      cleanup: 'compact,delete',
      retentionMs: plan.windowMs + segmentMs,
      segmentMs,
      recordBytesMax: CLAIM_RECORD_BYTES_MAX,
    },
    { ...copy, name: topics.deadLetter, retentionMs: plan.deadLetterRetentionMs },
    ...outputs.map(name => ({ ...copy, name, retentionMs: eventRetentionMs(plan) })),
  ]
}

const PROCESSOR_NAME = /^[a-z][a-z0-9-]{0,62}$/
/** Second parts of topic names that a processor's name would collide with. */
const RESERVED = new Set(['events', 'audit', 'agent-events', 'source-secrets'])

/** Throws `SP_PROCESSOR` unless the name can stand in topic names. */
export function checkProcessorName(name: string): void {
  if (!PROCESSOR_NAME.test(name) || RESERVED.has(name)) {
    throw new SallyportError(
      'SP_PROCESSOR',
      `a processor cannot be named ${JSON.stringify(name)}: use lower-case letters, digits and dashes, starting with a letter, at most 63 (and not ${[...RESERVED].join(', ')})`,
    )
  }
}
