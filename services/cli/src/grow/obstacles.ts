/**
 * What keeps the topics from growing. A record that is not settled lies where its key is at home among the present
 * partitions; among more it would be on the wrong one. So everything is settled first, and nobody works meanwhile.
 */
import type { Connection } from '@sallyport/core/connection'
import { withAdmin } from '@sallyport/core/kafka/admin'
import { type PartitionEnd, PartitionEnds } from '@sallyport/core/kafka/partition-ends'
import { groupMembers } from '@sallyport/core/kafka/partition-growth'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import { type Finding, problem, warning } from '../check/finding.ts'
import type { Desk } from '../operations/desk.ts'
import { occupied } from '../operations/run.ts'
import { firstRecord, type Settled, settledPositions } from '../operations/settled.ts'
import type { GrowingProcessor, Growth } from './growth.ts'

/** Problems forbid to grow; a warning says what will become of records that can no longer be settled before. */
export async function obstacles(desk: Desk, connection: Connection, growth: Growth): Promise<Finding[]> {
  const ends = new PartitionEnds(connection, 'sallyport-grow')
  try {
    const findings: Finding[] = []
    for (const processor of growth.processors) {
      findings.push(...(await runningOnes(desk, processor)))
      findings.push(...(await unsettledOnes(desk, ends, processor, growth.from)))
    }
    return findings
  } finally {
    await ends.close()
  }
}

/** Processes and operators that work with a processor's topics. */
export async function runningOnes(desk: Desk, { name }: GrowingProcessor): Promise<Finding[]> {
  const about = `processor ${name}`
  const findings: Finding[] = []
  const members = await withAdmin(desk.kafka, admin => groupMembers(admin, `sallyport.${name}`))
  if (members > 0) {
    findings.push({
      about,
      state: 'problem',
      text: `${members} ${members === 1 ? 'process is' : 'processes are'} in its group: stop them; one that was killed stays for the session timeout`,
    })
  }
  const open = (await desk.audit.read()).openOperation(name)
  if (open !== undefined) findings.push(problem(about, occupied(open)))
  return findings
}

async function unsettledOnes(
  desk: Desk,
  ends: PartitionEnds,
  processor: GrowingProcessor,
  partitions: number,
): Promise<Finding[]> {
  const { claims, inputs } = processor
  const all = Array.from({ length: partitions }, (_, partition) => partition)
  const places = await ends.read([claims, ...inputs], all)
  const open = places.filter(({ stableOffset, highWatermark }) => stableOffset < highWatermark)
  if (open.length > 0) return [transactionOpen(processor, open)]
  const positions: Settled[] = []
  for (const partition of all) {
    positions.push(await settledPositions(desk.reader, desk.registry, claims, partition))
  }
  const unsettled = new Map<string, number[]>()
  for (const { topic, partition, highWatermark: until } of places) {
    if (topic === claims) continue
    const from = positions[partition]?.[topic] ?? 0
    if ((await firstRecord(desk.reader, { topic, partition, from, until })) === undefined) continue
    unsettled.set(topic, [...(unsettled.get(topic) ?? []), partition])
  }
  return [...unsettled].map(([topic, found]) => unsettledOne(processor, topic, found))
}

function transactionOpen({ name }: GrowingProcessor, open: readonly PartitionEnd[]): Finding {
  const places = open.map(({ topic, partition }) => `${topic}/${partition}`).join(', ')
  return {
    about: `processor ${name}`,
    state: 'problem',
    text: `a transaction is open on ${places}: where its process was killed it ends within processing.transactionTimeout, try again then`,
    code: 'SP_STALLED',
  }
}

function unsettledOne(
  { name, isLocked }: GrowingProcessor,
  topic: string,
  partitions: readonly number[],
): Finding {
  const about = `processor ${name}`
  const what = `${topic} has records that it has not settled, in partitions ${partitions.join(', ')}`
  if (isLocked) {
    return warning(
      about,
      `${what}: those that are then on the wrong partition go to the dead letter as SP_MISPLACED, and sallyport dlq redrive --code SP_MISPLACED sends them home`,
    )
  }
  const stopped = topic === EVENTS_TOPIC ? 'stop the ingresses and ' : ''
  return {
    about,
    state: 'problem',
    text: `${what}: ${stopped}let it run until sallyport lag ${name} shows none; of a processor that is gone for good, delete the topics`,
  }
}
