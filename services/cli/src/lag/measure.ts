/**
 * How far processors are behind.
 *
 * what the topics hold, where the groups stand → first record behind each position → records and its age
 *
 * The first record is read, not computed: transaction markers lie between a position and the end of a topic that
 * holds nothing more.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { topicRole } from '@sallyport/console/index/topics'
import { type PartitionBounds, topicBounds, withAdmin } from '@sallyport/core/kafka/admin'
import type { createKafka } from '@sallyport/core/kafka/client'
import type { FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import { readTopics } from '@sallyport/core/kafka/topic-reader'
import { EVENTS_TOPIC } from '@sallyport/core/topics'

export interface Lag {
  readonly processor: string
  /** `events`, `retry 1` …, `redrive`. */
  readonly input: string
  readonly topic: string
  readonly partition: number
  /** Records that are not settled. */
  readonly records: number
  /** Age of the oldest of them; null where there is none, or it could not be read in time. */
  readonly seconds: number | null
}

interface Position {
  readonly processor: string
  readonly input: string
  readonly topic: string
  readonly partition: number
  readonly position: number
  readonly end: number
}

const READ_TIMEOUT_MS = 15_000
const POLL_MS = 20

type Kafka = ReturnType<typeof createKafka>

/** Lags of these processors, or of all, by input and partition; undefined for a name that is none. */
export async function measureLag(
  kafka: Kafka,
  names: readonly string[],
  signal: AbortSignal,
): Promise<{ lags: Lag[]; unknown: string[] }> {
  const { positions, processors } = await positionsOf(kafka, names)
  const unknown = names.filter(name => !processors.has(name))
  const behind = positions.filter(({ position, end }) => end > position)
  const oldest = await firstRecords(kafka, behind, signal)
  const lags = positions.map(place => {
    const { processor, input, topic, partition, end, position } = place
    const first = end > position ? oldest.get(key(place)) : 'none'
    const records = first === 'none' ? 0 : end - (first?.offset ?? position)
    const seconds = first === 'none' || first === undefined ? null : ageSeconds(first)
    return { processor, input, topic, partition, records, seconds }
  })
  return { lags, unknown }
}

async function positionsOf(
  kafka: Kafka,
  names: readonly string[],
): Promise<{ positions: Position[]; processors: ReadonlySet<string> }> {
  return await withAdmin(kafka, async admin => {
    const topics = (await admin.listTopics()).sort()
    const processors = new Set(topics.flatMap(topic => claimant(topic) ?? []))
    const positions: Position[] = []
    for (const processor of processors) {
      if (names.length > 0 && !names.includes(processor)) continue
      const inputs = topics.flatMap(topic => inputOf(topic, processor) ?? [])
      const bounds = await topicBounds(
        admin,
        inputs.map(({ topic }) => topic),
        'omit',
      )
      const committed = await admin.fetchOffsets({
        groupId: `sallyport.${processor}`,
        topics: inputs.map(({ topic }) => topic),
      })
      for (const { topic, input } of inputs) {
        const offsets = committed.find(entry => entry.topic === topic)?.partitions ?? []
        for (const [partition, held] of bounds.get(topic) ?? []) {
          const offset = Number(offsets.find(entry => entry.partition === partition)?.offset ?? -1)
          positions.push({ processor, input, topic, partition, ...place(held, offset) })
        }
      }
    }
    return { positions, processors }
  })
}

/**
 * Where a processor never ran everything counts, although it may be set to begin at the latest: only its settings say so,
 * and its first run writes where it stands.
 */
function place({ low, high }: PartitionBounds, committed: number): { position: number; end: number } {
  return { position: Math.max(low, committed), end: high }
}

function claimant(topic: string): string | undefined {
  const role = topicRole(topic)
  return role?.kind === 'claims' ? role.processor : undefined
}

function inputOf(topic: string, processor: string): { topic: string; input: string } | undefined {
  if (topic === EVENTS_TOPIC) return { topic, input: 'events' }
  const role = topicRole(topic)
  if (role === undefined || !('processor' in role) || role.processor !== processor) return undefined
  if (role.kind === 'retry') return { topic, input: `retry ${role.tier}` }
  return role.kind === 'redrive' ? { topic, input: 'redrive' } : undefined
}

/** The first record behind each position, or that there is none; a place is missing where it was not read in time. */
async function firstRecords(
  kafka: Kafka,
  behind: readonly Position[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, FetchedRecord | 'none'>> {
  const found = new Map<string, FetchedRecord | 'none'>()
  const deadline = performance.now() + READ_TIMEOUT_MS
  // Processors stand at different places of the same topic: one after the other.
  for (const places of Map.groupBy(behind, ({ processor }) => processor).values()) {
    const positions = new Map<string, Map<number, number>>()
    const ends = new Map<string, Position>()
    for (const at of places) {
      const partitions = positions.get(at.topic) ?? new Map<number, number>()
      positions.set(at.topic, partitions.set(at.partition, at.position))
      ends.set(`${at.topic}/${at.partition}`, at)
    }
    const reading = await readTopics(kafka, 'lag', positions, ({ topic, partition, next, records }) => {
      const at = ends.get(`${topic}/${partition}`)
      if (at === undefined || found.has(key(at))) return
      const [first] = records
      if (first !== undefined) found.set(key(at), first)
      else if (next >= at.end) found.set(key(at), 'none')
    })
    try {
      while (places.some(at => !found.has(key(at))) && performance.now() < deadline) {
        await Promise.race([sleep(POLL_MS, undefined, { signal }), reading.failed])
      }
    } finally {
      await reading.stop()
    }
  }
  return found
}

function key({ processor, topic, partition }: Position): string {
  return `${processor} ${topic}/${partition}`
}

function ageSeconds({ timestamp }: FetchedRecord): number {
  return Math.max(0, Math.round((Date.now() - timestamp) / 100) / 10)
}
