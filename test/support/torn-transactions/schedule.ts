/**
 * What a schedule does to a course of transactions (`torn-by.ts`): requests of transaction 1 come again in the midst of
 * transaction 2. A network does so: whoever waited in vain for an answer sends the request again on another connection,
 * and the first one arrives after all, behind later ones.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { KafkaRequest } from '../kafka-proxy/request.ts'
import type { Rule, SendAgain } from '../kafka-proxy/rule.ts'
import type { TornTopics } from './site.ts'

export interface Schedule {
  /** For the names of tests: what comes late, and when. */
  readonly name: string
  /** The requests that come again. */
  readonly repeats: (request: KafkaRequest, progress: Progress) => boolean
  /** Only the last of these; default all, in their order. */
  readonly onlyLast?: boolean
  /**
   * They come again before the first request that this is true of, which waits until the broker has answered them;
   * default: when transaction 2 has got its markers.
   */
  readonly before?: (request: KafkaRequest, progress: Progress) => boolean
  /** The owner is dead from the end of transaction 2 on: its request to end it never arrives. */
  readonly ownerDies?: boolean
  /** How long nothing happens between transactions 2 and 3, ms; default 0. */
  readonly pauseMs?: number
}

/** How long the markers of a transaction take at most when no broker is away, ms. */
const MARKERS_MS = 1_000

/** The record of a transaction, from 1, as it is in the bytes of a request. */
export function labelOf(transaction: number): string {
  return `transaction-${transaction}.`
}

/** Where a course is, from the requests that have passed. */
export class Progress {
  readonly topics: TornTopics
  /** The transaction whose claims were written last; 0 before. */
  transaction = 0

  constructor(topics: TornTopics) {
    this.topics = topics
  }

  see(request: KafkaRequest): void {
    for (const n of [1, 2, 3]) if (this.writes(n, this.topics.claims, request)) this.transaction = n
  }

  /** Whether a request writes a transaction's record to a topic. */
  writes(transaction: number, topic: string, { api, frame, transactions }: KafkaRequest): boolean {
    const named = transactions.flatMap(({ partitions }) => partitions)
    return (
      api === 'Produce' &&
      frame.includes(labelOf(transaction)) &&
      named.some(partition => partition.startsWith(`${topic}/`))
    )
  }
}

/** A schedule at work on one course. */
export class Strike {
  /** Whether something came again. */
  hasStruck = false
  readonly #schedule: Schedule
  readonly #progress: Progress
  readonly #sendAgain: SendAgain
  readonly #kept: KafkaRequest[] = []
  #isDead = false

  constructor(schedule: Schedule, topics: TornTopics, sendAgain: SendAgain) {
    this.#schedule = schedule
    this.#progress = new Progress(topics)
    this.#sendAgain = sendAgain
  }

  readonly rule: Rule = async request => {
    const { repeats, before, ownerDies } = this.#schedule
    if (!this.hasStruck && before?.(request, this.#progress)) await this.#strike()
    if (!this.hasStruck && repeats(request, this.#progress)) this.#kept.push(request)
    if (request.from !== 'client') return undefined
    this.#isDead ||= ownerDies === true && request.api === 'EndTxn' && this.#progress.transaction === 2
    this.#progress.see(request)
    return this.#isDead ? { isLost: true } : undefined
  }

  /** Strikes if the schedule is for what comes behind the end of transaction 2, and pauses. */
  async behindTheEnd(): Promise<void> {
    if (this.#schedule.before === undefined) {
      await sleep(MARKERS_MS)
      await this.#strike()
    }
    await sleep(this.#schedule.pauseMs ?? 0)
  }

  async #strike(): Promise<void> {
    const late = this.#kept.splice(this.#schedule.onlyLast ? -1 : 0)
    this.hasStruck = late.length > 0
    for (const request of late) await this.#sendAgain(request)
  }
}
