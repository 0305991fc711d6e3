/**
 * Runs a course of transactions while a schedule is at work in the proxy, and reads from the partitions' logs what
 * became of each.
 *
 *     transaction 1 → transaction 2, where the schedule strikes → (a successor takes over) → transaction 3 → judge
 */
import { untouched } from '../kafka-proxy/rule.ts'
import { type Fates, settledFates, type Told, tornOf, writesOf } from './fates.ts'
import { type Schedule, Strike } from './schedule.ts'
import { freshTopics, type Site, type TornTopics } from './site.ts'
import type { ConnectTransactor, PartitionWrites, Transactor } from './transactor.ts'

const TRANSACTIONS = 3

export interface Outcome {
  /** Whether the schedule had something to repeat; else it was a course like any other. */
  readonly hasStruck: boolean
  readonly told: Readonly<Record<number, Told>>
  readonly fates: Fates
  readonly torn: readonly number[]
  /** Why a producer failed, transaction by transaction. */
  readonly errors: readonly string[]
}

/** Runs the course. Whoever fails is succeeded by another for the same partition, as a task that starts again. */
export async function tornBy(connect: ConnectTransactor, schedule: Schedule, site: Site): Promise<Outcome> {
  const topics = await freshTopics(site)
  const { cluster, proxy } = site
  const strike = new Strike(schedule, topics, proxy.sendAgain)
  const owners = new Owners(connect, proxy.brokers, topics)
  try {
    proxy.use(strike.rule)
    await owners.transact(1)
    await owners.transact(2)
    await strike.behindTheEnd()
    proxy.use(untouched)
    await owners.transact(3)
  } finally {
    proxy.use(untouched)
    await owners.close()
  }
  const { told, errors } = owners
  const fates = await settledFates(cluster.brokers, topics, TRANSACTIONS)
  return { hasStruck: strike.hasStruck, told, fates, torn: tornOf(fates, told), errors }
}

/** The owners of one partition, one after the other. */
export class Owners {
  readonly told: Record<number, Told> = {}
  readonly errors: string[] = []
  readonly #connect: () => Promise<Transactor>
  readonly #topics: TornTopics
  #owner: Transactor | undefined

  constructor(connect: ConnectTransactor, brokers: readonly string[], topics: TornTopics) {
    this.#connect = () => connect({ brokers, groupId: topics.groupId, partition: 0 })
    this.#topics = topics
  }

  /** The present owner, or else a new one, makes one transaction; if it fails, it is the last of this owner. */
  async transact(n: number): Promise<void> {
    const [claims, ...others] = writesOf(n, this.#topics)
    try {
      this.#owner ??= await this.#connect()
      await this.#owner.transact(claims as PartitionWrites, others, [
        { topic: this.#topics.claims, offset: n },
      ])
      this.told[n] = 'committed'
    } catch (error) {
      this.told[n] = 'failed'
      this.errors.push(`${n}: ${(error as Error).message}`)
      await this.close()
    }
  }

  async close(): Promise<void> {
    await this.#owner?.close()
    this.#owner = undefined
  }
}
