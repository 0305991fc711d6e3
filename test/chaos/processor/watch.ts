import { setTimeout as sleep } from 'node:timers/promises'
import { HEADER } from '@sallyport/core/headers'
import { OUTPUT } from './agent.ts'
import { type Load, PARTITIONS } from './load.ts'
import { TopicLog } from './topic-log.ts'
import { DEAD_LETTER } from './verdict.ts'

/** How often the effects are read, ms. */
const LOOK_MS = 1_000
/** An event that has had no effect for this long while the chaos goes on is a hang, ms. */
const HANG_MS = 120_000

/** Follows the effects as they come: for progress lines, and to see when nothing moves any more. */
export class Watch {
  readonly problems: string[] = []
  /** Longest time from acceptance to effect, ms, as far as looking now and then tells. */
  slowestMs = 0
  readonly #load: Load
  readonly #describe: () => string
  readonly #logs: readonly TopicLog[]
  readonly #done = new Set<string>()
  #progressAt = Date.now()
  #hung = false
  #running = true
  #looking: Promise<void> | undefined

  /** `describe`: what to tell of the processes when nothing moves. */
  constructor(brokers: readonly string[], load: Load, describe: () => string) {
    this.#load = load
    this.#describe = describe
    this.#logs = [OUTPUT, DEAD_LETTER].map(topic => new TopicLog(brokers, topic, PARTITIONS))
  }

  start(): void {
    this.#progressAt = Date.now()
    this.#looking = this.#look()
  }

  async stop(): Promise<void> {
    this.#running = false
    await this.#looking
    for (const log of this.#logs) await log.close()
  }

  /** Waits until every accepted event has an effect, or nothing moves any more. */
  async untilDone(): Promise<void> {
    while (this.#waiting() > 0 && Date.now() - this.#progressAt < HANG_MS) await sleep(LOOK_MS)
    // What comes after the end would be a duplicate: give it a chance to show.
    await sleep(3_000)
  }

  state(): string {
    return `accepted ${this.#load.accepted.size}, effects ${this.#done.size}`
  }

  #waiting(): number {
    let waiting = 0
    for (const id of this.#load.accepted.keys()) if (!this.#done.has(id)) waiting++
    return waiting
  }

  async #look(): Promise<void> {
    while (this.#running) {
      await sleep(LOOK_MS)
      for (const log of this.#logs) await log.advance().catch(() => {})
      const before = this.#done.size
      for (const log of this.#logs) this.#note(log)
      if (this.#done.size > before) {
        this.#progressAt = Date.now()
        this.#hung = false
      } else if (!this.#hung && this.#waiting() > 0 && Date.now() - this.#progressAt > HANG_MS) {
        this.#hung = true
        this.problems.push(`no effect for ${HANG_MS / 1_000} s (${this.state()}):\n${this.#describe()}`)
      }
    }
  }

  #note(log: TopicLog): void {
    const now = Date.now()
    for (const { key, headers } of log.takeCommitted()) {
      const id = (headers[HEADER.id] ?? key).replace(/#\d+$/, '')
      const accepted = this.#load.accepted.get(id)
      if (accepted === undefined || this.#done.has(id)) continue
      this.#done.add(id)
      this.slowestMs = Math.max(this.slowestMs, now - accepted.at)
    }
  }
}
