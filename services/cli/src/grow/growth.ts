/** What growing the topics comes to: read from the cluster and the settings, nothing written. */
import { topicRole } from '@sallyport/console/index/topics'
import { SallyportError } from '@sallyport/core/errors'
import { withAdmin } from '@sallyport/core/kafka/admin'
import { partitionCounts } from '@sallyport/core/kafka/partition-growth'
import type { Settings } from '@sallyport/core/settings'
import { AUDIT_TOPIC, EVENTS_TOPIC, SOURCE_SECRETS_TOPIC } from '@sallyport/core/topics'
import type { Desk } from '../operations/desk.ts'
import { provisionOf } from '../provision-of.ts'

/** Topics whose one partition is what orders their records. */
const LONE: ReadonlySet<string> = new Set([AUDIT_TOPIC, SOURCE_SECRETS_TOPIC])

/** When a topic grows: see grow.ts. */
export type Stage = 'claims' | 'others' | 'events'

/** A topic that gets more partitions. */
export interface GrowingTopic {
  readonly topic: string
  readonly partitions: number
  readonly stage: Stage
}

/** The topics of a processor that has claims, whether the settings name it or not. */
export interface GrowingProcessor {
  readonly name: string
  readonly claims: string
  /** Events, tiers (also those that settings no longer name) and the redrive lane. */
  readonly inputs: readonly string[]
  /** An earlier run has given the claims topic more partitions: the processor cannot start until all have them. */
  readonly isLocked: boolean
}

export interface Growth {
  /** Partitions of `sallyport.events`, and what `topics.partitions` says. */
  readonly from: number
  readonly to: number
  /** Those whose claims move: none where the events topic has grown already. */
  readonly processors: readonly GrowingProcessor[]
  /** Topics with fewer partitions than `to`. */
  readonly topics: readonly GrowingTopic[]
}

/** Throws `SP_PARTITION_COUNT` where the topics cannot become what the settings say by growing. */
export async function lookAt(desk: Desk, settings: Settings): Promise<Growth> {
  const { topics: specs } = await provisionOf(settings)
  const counts = await withAdmin(desk.kafka, async admin => {
    const names = await admin.listTopics()
    const wanted = new Set(specs.map(({ name }) => name))
    return await partitionCounts(
      admin,
      names.filter(name => !LONE.has(name) && (wanted.has(name) || topicRole(name) !== undefined)),
    )
  })
  return growthOf(counts, settings.partitions)
}

/** `counts`: partitions of the product's topics, and of the outputs that the settings name. */
export function growthOf(counts: ReadonlyMap<string, number>, to: number): Growth {
  const from = counts.get(EVENTS_TOPIC)
  if (from === undefined) {
    throw new SallyportError(
      'SP_TOPIC_MISMATCH',
      `${EVENTS_TOPIC} does not exist. Run: npx sallyport topics apply`,
    )
  }
  checkCounts(counts, from, to)
  const topics = [...counts]
    .filter(([, partitions]) => partitions < to)
    .map(([topic, partitions]) => ({ topic, partitions, stage: stageOf(topic) }))
    .sort((a, b) => (a.topic < b.topic ? -1 : 1))
  return { from, to, processors: from < to ? processorsOf(counts, from) : [], topics }
}

function stageOf(topic: string): Stage {
  const role = topicRole(topic)
  return role?.kind === 'claims' || role?.kind === 'events' ? role.kind : 'others'
}

function checkCounts(counts: ReadonlyMap<string, number>, from: number, to: number): void {
  const largest = Math.max(...counts.values())
  if (largest > to) {
    throw new SallyportError(
      'SP_PARTITION_COUNT',
      `there are topics of ${largest} partitions, and topics.partitions is ${to}: Kafka takes no partition away again, set topics.partitions to ${largest} or more`,
    )
  }
  for (const [topic, partitions] of counts) {
    if (partitions >= from || topicRole(topic) === undefined) continue
    throw new SallyportError(
      'SP_PARTITION_COUNT',
      `${topic} has ${partitions} partitions, fewer than the ${from} of ${EVENTS_TOPIC}: it was not made by Sallyport; delete it, and run: npx sallyport topics apply`,
    )
  }
}

function processorsOf(counts: ReadonlyMap<string, number>, from: number): GrowingProcessor[] {
  return [...counts].flatMap(([claims, partitions]) => {
    const role = topicRole(claims)
    if (role?.kind !== 'claims') return []
    const inputs = [...counts.keys()].filter(topic => isInput(topic, role.processor))
    return [{ name: role.processor, claims, inputs, isLocked: partitions > from }]
  })
}

function isInput(topic: string, processor: string): boolean {
  const role = topicRole(topic)
  if (role?.kind === 'events') return true
  return (role?.kind === 'retry' || role?.kind === 'redrive') && role.processor === processor
}
