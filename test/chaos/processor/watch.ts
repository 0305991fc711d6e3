import { setTimeout as sleep } from 'node:timers/promises'
import { HEADER } from '@sallyport/core/headers'
import { partitionOf } from '@sallyport/core/partition'
import { OUTPUT } from './agent.ts'
import { isStray, type Load, PARTITIONS } from './load.ts'
import { TopicLog } from './topic-log.ts'
import { DEAD_LETTER } from './topics.ts'

/** How often the effects are read, ms. */
const LOOK_MS = 1_000
/** A partition whose events wait, and of which none has had its effect for this long, hangs; ms. */
const HANG_MS = 120_000

/** How far the events of a partition are. */
interface Progress {
  done: number
  /** When one had its effect last, or none waited; ms since the epoch. */
  at: number
  hung: boolean
}

/** Follows the effects as they come: for progress lines, and to see when nothing moves any more. */
export class Watch {
  readonly problems: string[] = []
  /** Longest time from acceptance to effect, ms, as far as looking now and then tells; redriven ones left out. */
  slowestMs = 0
  readonly #load: Load
  readonly #describe: () => string
  readonly #logs: readonly TopicLog[]
  readonly #done = new Set<string>()
  readonly #partitions: Progress[] = Array.from({ length: PARTITIONS }, () => ({
    done: 0,
    at: Date.now(),
    hung: false,
  }))
  #running = true
  #looking: Promise<void> | undefined

  /** `describe`: what to tell of the processes when nothing moves. */
  constructor(brokers: readonly string[], load: Load, describe: () => string) {
    this.#load = load
    this.#describe = describe
    this.#logs = [OUTPUT, DEAD_LETTER].map(topic => new TopicLog(brokers, topic, PARTITIONS))
  }

  start(): void {
    for (const progress of this.#partitions) progress.at = Date.now()
    this.#looking = this.#look()
  }

  async stop(): Promise<void> {
    this.#running = false
    await this.#looking
    for (const log of this.#logs) await log.close()
  }

  /** Waits until every accepted event has an effect, or a partition hangs. */
  async untilDone(): Promise<void> {
    while (this.#done.size < this.#load.accepted.size && !this.#partitions.some(({ hung }) => hung))
      await sleep(LOOK_MS)
    // What comes after the end would be a duplicate: give it a chance to show.
    await sleep(3_000)
  }

  state(): string {
    return `accepted ${this.#load.accepted.size}, effects ${this.#done.size}`
  }

  async #look(): Promise<void> {
    while (this.#running) {
      await sleep(LOOK_MS)
      for (const log of this.#logs) await log.advance().catch(() => {})
      for (const log of this.#logs) this.#note(log)
      for (const [partition, progress] of this.#partitions.entries()) this.#judge(partition, progress)
    }
  }

  #judge(partition: number, progress: Progress): void {
    const waiting = (this.#load.acceptedOn[partition] as number) - progress.done
    if (waiting <= 0) progress.at = Date.now()
    const isHung = Date.now() - progress.at > HANG_MS
    if (isHung && !progress.hung) {
      const what = `no effect on partition ${partition} for ${HANG_MS / 1_000} s, where ${waiting} events wait`
      this.problems.push(`${what} (${this.state()}):\n${this.#describe()}`)
    }
    progress.hung = isHung
  }

  #note(log: TopicLog): void {
    const now = Date.now()
    for (const record of log.takeCommitted()) {
      const { key, headers } = record
      const id = (headers[HEADER.id] ?? key).replace(/#\d+$/, '')
      const accepted = this.#load.accepted.get(id)
      if (accepted === undefined || this.#done.has(id)) continue
      if (log.topic === DEAD_LETTER && (isStray(record) || accepted.fate.away !== undefined)) continue
      this.#done.add(id)
      const progress = this.#partitions[partitionOf(Buffer.from(id), PARTITIONS)] as Progress
      progress.done++
      progress.at = now
      if (!accepted.isRedriven) this.slowestMs = Math.max(this.slowestMs, now - accepted.at)
    }
  }
}
