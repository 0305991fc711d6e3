import { HEADER } from '@sallyport/core/headers'
import { topicBounds, topicNames, withAdmin } from '@sallyport/core/kafka/admin'
import type { FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import { headerText } from '@sallyport/core/kafka/group-consumer'
import type { Log } from '@sallyport/core/log'
import { EVENTS_TOPIC, retryTier } from '@sallyport/core/topics'
import type { InputKind } from './claim.ts'
import type { ProcessorConfig } from './config.ts'

/** A topic that a task reads, apart from the claims. */
export interface InputSpec {
  readonly topic: string
  readonly kind: InputKind
  /** How long a record waits at most after its append time, ms; infinite for a tier that the settings no longer name. */
  readonly delayMs: number
}

/** The inputs of a processor's tasks: the events, its retry tiers, its redrive lane, and tiers that it had before. */
export function inputSpecs(processor: ProcessorConfig, retired: readonly string[] = []): InputSpec[] {
  return [
    { topic: EVENTS_TOPIC, kind: 'events', delayMs: 0 },
    ...processor.topics.retry.map(
      (topic, i): InputSpec => ({ topic, kind: 'retry', delayMs: processor.delaysMs[i] as number }),
    ),
    { topic: processor.topics.redrive, kind: 'redrive', delayMs: 0 },
    ...retired.map((topic): InputSpec => ({ topic, kind: 'retry', delayMs: Number.POSITIVE_INFINITY })),
  ]
}

/**
 * The inputs, with the tiers that exist although the settings no longer name them: what waits there is processed when
 * it is due, and nothing new is sent there. Such a topic is read for as long as it exists.
 */
export async function discoverInputs(
  processor: ProcessorConfig,
  kafka: Parameters<typeof withAdmin>[0],
  log: Log,
): Promise<InputSpec[]> {
  const tiers = processor.topics.retry.length
  const names = await withAdmin(kafka, topicNames)
  const retired = names.filter(name => (retryTier(processor.name, name) ?? 0) > tiers).sort()
  if (retired.length > 0) {
    log.warn(
      { topics: retired },
      'the settings no longer name these tiers; they are read until they are deleted',
    )
  }
  return inputSpecs(processor, retired)
}

/** Where the tiers of a partition end now; undefined where there is a tier that is none of the inputs. */
export async function tierEnds(
  processor: ProcessorConfig,
  inputs: readonly InputSpec[],
  kafka: Parameters<typeof withAdmin>[0],
  partition: number,
): Promise<ReadonlyMap<string, number> | undefined> {
  const read = new Set(inputs.filter(({ kind }) => kind === 'retry').map(({ topic }) => topic))
  return await withAdmin(kafka, async admin => {
    const names = await topicNames(admin)
    const tiers = names.filter(name => retryTier(processor.name, name) !== undefined)
    if (tiers.some(tier => !read.has(tier))) return undefined
    const bounds = await topicBounds(admin, tiers)
    return new Map(tiers.map(tier => [tier, bounds.get(tier)?.get(partition)?.high ?? 0]))
  })
}

/**
 * When a record may be attempted, ms since the epoch by the brokers' clock; elsewhere than in a tier at once. In a tier: its append time + the tier's
 * delay, or the delay that held when it was written where that is shorter. So a delay that settings shorten holds at
 * once, one that they lengthen holds for what comes, and a retired tier keeps its own.
 */
export function dueAt({ kind, delayMs }: InputSpec, record: FetchedRecord): number {
  if (kind !== 'retry') return Number.NEGATIVE_INFINITY
  const own = headerText(record.headers, HEADER.delay)
  const ownMs = own !== undefined && /^\d{1,12}$/.test(own) ? Number(own) : undefined
  // A record without its own delay, in a tier that no longer has one, has nothing to wait for.
  const present = Number.isFinite(delayMs) ? delayMs : 0
  return record.timestamp + (ownMs === undefined ? present : Math.min(ownMs, delayMs))
}
