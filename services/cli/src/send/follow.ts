/**
 * Follows events to their end in the topics of their processors: retry tiers, dead letters, and the claims, whose
 * DONE says that an event was processed.
 */

import { parseHistory } from '@sallyport/core/attempt'
import { HEADER } from '@sallyport/core/headers'
import type { createKafka } from '@sallyport/core/kafka/client'
import { type FetchedRecord, headerText } from '@sallyport/core/kafka/group-consumer'
import type { SchemaRegistry } from '@sallyport/core/kafka/registry'
import { tailTopics } from '@sallyport/core/kafka/tail'
import type { TopicReader } from '@sallyport/core/kafka/topic-reader'
import { RegistryReader } from '@sallyport/core/registry-reader'
import { traceIdOf } from '@sallyport/core/trace'
import { CLAIM_SCHEMA, type ProcessorConfig } from '@sallyport/processor/config'

/** Something that happened to an event at a processor. */
export interface Step {
  readonly eventId: string
  readonly processor: string
  readonly kind: 'processed' | 'retry' | 'dead letter'
  /** Whether nothing more will happen. */
  readonly isEnd: boolean
  /** Number of the attempt that led here. */
  readonly attempt: number
  /** `retry`: the tier and its delay. */
  readonly tier?: { readonly number: number; readonly of: number; readonly delayMs: number }
  /** Why it failed. */
  readonly reason?: string
  readonly traceId?: string
}

interface ClaimView {
  readonly state: string
  readonly attempt: number
}

export async function followEvents(
  kafka: ReturnType<typeof createKafka>,
  registry: SchemaRegistry,
  processors: readonly ProcessorConfig[],
  onStep: (step: Step) => void,
): Promise<TopicReader> {
  await registry.register(CLAIM_SCHEMA.name, CLAIM_SCHEMA)
  const claims = new RegistryReader<ClaimView>(CLAIM_SCHEMA, registry)
  const readers = new Map<string, (record: FetchedRecord) => Step | Promise<Step | undefined> | undefined>()
  for (const processor of processors) {
    const { retry, deadLetter, claims: claimsTopic } = processor.topics
    readers.set(claimsTopic, record => claimStep(processor, claims, record))
    readers.set(deadLetter, record => deadLetterStep(processor, record))
    for (const [i, topic] of retry.entries()) readers.set(topic, record => retryStep(processor, i, record))
  }
  return await tailTopics(kafka, [...readers.keys()], async record => {
    const step = record.key === null ? undefined : await readers.get(record.topic)?.(record)
    if (step !== undefined) onStep(step)
  })
}

/** What is passed over is none of Sallyport's: a stranger's bytes. */
async function claimStep(
  { name }: ProcessorConfig,
  claims: RegistryReader<ClaimView>,
  { key, value }: FetchedRecord,
): Promise<Step | undefined> {
  const eventId = String(key)
  if (value === null || eventId.startsWith('#')) return undefined
  await claims.prepare(value)
  const claim = claims.readOrUndefined(value)
  if (claim?.state !== 'DONE') return undefined
  return { eventId, processor: name, kind: 'processed', isEnd: true, attempt: claim.attempt }
}

function retryStep({ name, delaysMs }: ProcessorConfig, index: number, record: FetchedRecord): Step {
  const tier = { number: index + 1, of: delaysMs.length, delayMs: delaysMs[index] as number }
  const last = parseHistory(headerText(record.headers, HEADER.history)).at(-1)
  return {
    ...common(name, record),
    kind: 'retry',
    isEnd: false,
    attempt: last?.attempt ?? 0,
    tier,
    reason: last?.message ?? '',
  }
}

function deadLetterStep({ name }: ProcessorConfig, record: FetchedRecord): Step {
  const reason = headerText(record.headers, HEADER.reason) ?? ''
  const message = headerText(record.headers, HEADER.message) ?? ''
  const attempt = Number(headerText(record.headers, HEADER.attempt) ?? 0)
  return {
    ...common(name, record),
    kind: 'dead letter',
    isEnd: true,
    attempt,
    reason: `${reason}: ${message}`,
  }
}

function common(
  processor: string,
  { key, headers }: FetchedRecord,
): { eventId: string; processor: string; traceId?: string } {
  const traceId = traceIdOf(headerText(headers, HEADER.traceparent))
  return { eventId: String(key), processor, ...(traceId === undefined ? {} : { traceId }) }
}
