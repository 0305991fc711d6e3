/**
 * Runs a course of transactions while a schedule is at work in the proxy, and reads from the partitions' logs what
 * became of each.
 *
 *     transaction 1 → transaction 2, where the schedule strikes → (a successor takes over) → transaction 3 → judge
 *
 * Every transaction writes one record to each of four partitions: claims/0, dead-letters/0, outputs/0, outputs/1.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { readTopic } from '../../chaos/processor/topic-log.ts'
import { untouched } from '../kafka-proxy/rule.ts'
import { labelOf, type Schedule, Strike } from './schedule.ts'
import { freshTopics, type Site, type TornTopics } from './site.ts'
import type { ConnectTransactor, PartitionWrites, Transactor } from './transactor.ts'

const TRANSACTIONS = [1, 2, 3] as const
/** How long the coordinator may take to end what was left open, ms: above the transactions' time-out. */
const SETTLE_TIMEOUT_MS = 20_000

/** What became of a record: `absent` if it is not in the log. */
export type Fate = 'committed' | 'aborted' | 'open' | 'absent' | 'twice'

export interface Outcome {
  /** Whether the schedule had something to repeat; else it was a course like any other. */
  readonly hasStruck: boolean
  /** What a producer was told of each transaction, from 1. */
  readonly told: Readonly<Record<number, 'committed' | 'failed'>>
  /** What became of each transaction's records, by `topic/partition` without what differs from course to course. */
  readonly fates: Readonly<Record<number, Readonly<Record<string, Fate>>>>
  /** Transactions of which a part was committed and the rest was not, or that were not committed as they were told. */
  readonly torn: readonly number[]
  /** Why a producer failed, transaction by transaction. */
  readonly errors: readonly string[]
}

/** Runs the course. Whoever fails is succeeded by another for the same partition, as a task that starts again. */
export async function tornBy(connect: ConnectTransactor, schedule: Schedule, site: Site): Promise<Outcome> {
  const { groupId, ...topics } = await freshTopics(site)
  const { cluster, proxy } = site
  const owner = () => connect({ brokers: proxy.brokers, groupId, partition: 0 })
  const told: Record<number, 'committed' | 'failed'> = {}
  const errors: string[] = []
  const strike = new Strike(schedule, topics, proxy.sendAgain)
  let transactor: Transactor | undefined
  try {
    proxy.use(strike.rule)
    for (const n of TRANSACTIONS) {
      if (n === 3) {
        await strike.behindTheEnd()
        proxy.use(untouched)
      }
      transactor ??= await owner()
      try {
        const [claims, ...others] = writesOf(n, topics)
        await transactor.transact(claims as PartitionWrites, others, [{ topic: topics.claims, offset: n }])
        told[n] = 'committed'
      } catch (error) {
        told[n] = 'failed'
        errors.push(`${n}: ${(error as Error).message}`)
        await transactor.close()
        transactor = undefined
      }
    }
  } finally {
    proxy.use(untouched)
    await transactor?.close()
  }
  const fates = await settledFates(cluster.brokers, topics)
  return {
    hasStruck: strike.hasStruck,
    told,
    fates,
    torn: TRANSACTIONS.filter(n => isTorn(fates[n] ?? {}, told[n])),
    errors,
  }
}

function writesOf(transaction: number, topics: TornTopics): PartitionWrites[] {
  const records = [{ key: Buffer.from('key'), value: Buffer.from(labelOf(transaction)) }]
  return partitionsOf(topics).map(({ topic, partition }) => ({ topic, partition, records }))
}

function partitionsOf({ claims, deadLetters, outputs }: TornTopics) {
  return [
    { name: 'claims/0', topic: claims, partition: 0 },
    { name: 'dead-letters/0', topic: deadLetters, partition: 0 },
    { name: 'outputs/0', topic: outputs, partition: 0 },
    { name: 'outputs/1', topic: outputs, partition: 1 },
  ]
}

function isTorn(fates: Readonly<Record<string, Fate>>, told: 'committed' | 'failed' | undefined): boolean {
  const all = Object.values(fates)
  if (all.includes('twice') || all.includes('open')) return true
  const committed = all.filter(fate => fate === 'committed').length
  return told === 'committed' ? committed < all.length : committed > 0 && committed < all.length
}

/** The fates once no transaction is open any more, or when that does not come. */
async function settledFates(brokers: readonly string[], topics: TornTopics): Promise<Outcome['fates']> {
  const deadline = Date.now() + SETTLE_TIMEOUT_MS
  for (;;) {
    const fates = await fatesOf(brokers, topics)
    const isOpen = Object.values(fates).some(fate => Object.values(fate).includes('open'))
    if (!isOpen || Date.now() > deadline) return fates
    await sleep(500)
  }
}

async function fatesOf(brokers: readonly string[], topics: TornTopics): Promise<Outcome['fates']> {
  const fates: Record<number, Record<string, Fate>> = {}
  for (const { name, topic, partition } of partitionsOf(topics)) {
    const { records } = await readTopic(brokers, topic, topic === topics.outputs ? 2 : 1, true)
    for (const n of TRANSACTIONS) {
      const found = records.filter(
        record => record.partition === partition && String(record.value) === labelOf(n),
      )
      fates[n] ??= {}
      fates[n][name] = found.length > 1 ? 'twice' : (found[0]?.state ?? 'absent')
    }
  }
  return fates
}
