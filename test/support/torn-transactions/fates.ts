/**
 * What became of transactions, from their partitions' logs. Every transaction writes one record to each of four
 * partitions: claims/0, dead-letters/0, outputs/0, outputs/1.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { readTopic } from '../../chaos/processor/topic-log.ts'
import { labelOf } from './schedule.ts'
import type { TornTopics } from './site.ts'
import type { PartitionWrites } from './transactor.ts'

/** What became of a record: `absent` if it is not in the log. */
export type Fate = 'committed' | 'aborted' | 'open' | 'absent' | 'twice'

/** By transaction, from 1, and by `topic/partition` without what differs from course to course. */
export type Fates = Readonly<Record<number, Readonly<Record<string, Fate>>>>

/** What a producer was told of a transaction. */
export type Told = 'committed' | 'failed'

/** How long the coordinator may take to end what was left open, ms: above the transactions' time-out. */
const SETTLE_TIMEOUT_MS = 20_000

/** The records of a transaction, the claims first. */
export function writesOf(transaction: number, topics: TornTopics): PartitionWrites[] {
  const records = [{ key: Buffer.from('key'), value: Buffer.from(labelOf(transaction)) }]
  return partitionsOf(topics).map(({ topic, partition }) => ({ topic, partition, records }))
}

/** The fates of transactions 1 to `count` once none of them is open any more, or when that does not come. */
export async function settledFates(
  brokers: readonly string[],
  topics: TornTopics,
  count: number,
): Promise<Fates> {
  const deadline = Date.now() + SETTLE_TIMEOUT_MS
  for (;;) {
    const fates = await fatesOf(brokers, topics, count)
    const isOpen = Object.values(fates).some(fate => Object.values(fate).includes('open'))
    if (!isOpen || Date.now() > deadline) return fates
    await sleep(500)
  }
}

/** The transactions of which a part was committed and the rest was not, or that are not what their owner was told. */
export function tornOf(fates: Fates, told: Readonly<Record<number, Told>>): number[] {
  return Object.keys(fates)
    .map(Number)
    .filter(n => isTorn(Object.values(fates[n] ?? {}), told[n]))
}

function isTorn(fates: readonly Fate[], told: Told | undefined): boolean {
  if (fates.includes('twice') || fates.includes('open')) return true
  const committed = fates.filter(fate => fate === 'committed').length
  return committed < fates.length && (committed > 0 || told === 'committed')
}

function partitionsOf({ claims, deadLetters, outputs }: TornTopics) {
  return [
    { name: 'claims/0', topic: claims, partition: 0 },
    { name: 'dead-letters/0', topic: deadLetters, partition: 0 },
    { name: 'outputs/0', topic: outputs, partition: 0 },
    { name: 'outputs/1', topic: outputs, partition: 1 },
  ]
}

async function fatesOf(brokers: readonly string[], topics: TornTopics, count: number): Promise<Fates> {
  const fates: Record<number, Record<string, Fate>> = {}
  for (const { name, topic, partition } of partitionsOf(topics)) {
    const { records } = await readTopic(brokers, topic, topic === topics.outputs ? 2 : 1, true)
    const found = Map.groupBy(
      records.filter(record => record.partition === partition),
      ({ value }) => String(value),
    )
    for (let n = 1; n <= count; n++) {
      const copies = found.get(labelOf(n)) ?? []
      const fate = copies.length > 1 ? 'twice' : (copies[0]?.state ?? 'absent')
      fates[n] = { ...fates[n], [name]: fate }
    }
  }
  return fates
}
