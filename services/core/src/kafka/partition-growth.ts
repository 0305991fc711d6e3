/** More partitions for topics that exist, and what must be known before they get them. */
import { setTimeout as sleep } from 'node:timers/promises'
import type kafkajs from 'kafkajs'
import { withAdmin } from './admin.ts'
import { processOf } from './assigner.ts'
import { protocolErrorType } from './client.ts'

/** Until the brokers say who leads new partitions, ms. */
const LEADERS_TIMEOUT_MS = 30_000
const POLL_MS = 50

/** Topic → how many partitions it has. The topics must exist. */
export async function partitionCounts(
  admin: kafkajs.Admin,
  topics: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  if (topics.length === 0) return new Map()
  const { topics: found } = await admin.fetchTopicMetadata({ topics: [...topics] })
  return new Map(found.map(({ name, partitions }) => [name, partitions.length]))
}

/** How many members a consumer group has; 0 where there is no such group. */
export async function groupMembers(admin: kafkajs.Admin, groupId: string): Promise<number> {
  const { groups } = await admin.describeGroups([groupId])
  return groups[0]?.members.length ?? 0
}

/** Whether a process is a member of a group that its processor's processes make. */
export async function hasMember(admin: kafkajs.Admin, groupId: string, process: string): Promise<boolean> {
  const { groups } = await admin.describeGroups([groupId])
  return groups[0]?.members.some(({ memberMetadata }) => processOf(memberMetadata) === process) ?? false
}

/**
 * Gives each topic `count` partitions; one that has them already is left alone. Resolves once all partitions have
 * leaders. Throws `SP_BROKER_UNREACHABLE` (retryable).
 */
export async function growTopics(
  kafka: kafkajs.Kafka,
  topics: readonly string[],
  count: number,
): Promise<void> {
  await withAdmin(kafka, async admin => {
    for (const topic of topics) await growTopic(admin, topic, count)
    const deadline = performance.now() + LEADERS_TIMEOUT_MS
    while (!(await areLed(admin, topics, count))) {
      if (performance.now() > deadline) throw new Error('new partitions have no leader')
      await sleep(POLL_MS)
    }
  })
}

async function growTopic(admin: kafkajs.Admin, topic: string, count: number): Promise<void> {
  const present = (await partitionCounts(admin, [topic])).get(topic) ?? 0
  if (present >= count) return
  try {
    await admin.createPartitions({ topicPartitions: [{ topic, count }] })
  } catch (error) {
    // Somebody else was faster; whether it is enough is seen below.
    if (protocolErrorType(error) !== 'INVALID_PARTITIONS') throw error
  }
}

async function areLed(admin: kafkajs.Admin, topics: readonly string[], count: number): Promise<boolean> {
  if (topics.length === 0) return true
  const { topics: found } = await admin.fetchTopicMetadata({ topics: [...topics] })
  return found.every(
    ({ partitions }) => partitions.length >= count && partitions.every(({ leader }) => leader >= 0),
  )
}
