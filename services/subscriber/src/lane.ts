/**
 * One partition while it is assigned: fetched → queue → passed, one record after the other → position.
 *
 * J5. A record is passed only when its handler has resolved, or a callback has taken it over.
 * J6. The position never lies behind a record that was not passed; only positions are committed.
 * J7. The partition is paused while the queue holds anything: what is in memory is what one fetch brought.
 * J8. A lane that has ended moves its position no more: another member may own the partition.
 */
import type { KafkaMessage } from 'kafkajs'
import type { LaneSignals } from './attempts.ts'
import type { RawRecord } from './decode.ts'

/** How a lane steers the fetching of its partition. */
export interface LaneFlow {
  pause(): void
  resume(): void
  /** Goes on from an offset. */
  seek(offset: number): void
}

export interface LaneWork {
  /** True: passed. False: told to stop first. */
  pass(raw: RawRecord, signals: LaneSignals): Promise<boolean>
  failed(error: unknown): void
  /** The partition ends before what was taken of it: it is read from its start. */
  remade(taken: number, end: number): void
}

export class Lane {
  readonly topic: string
  readonly partition: number
  readonly #work: LaneWork
  readonly #flow: LaneFlow
  readonly #abort = new AbortController()
  readonly #drain = new AbortController()
  #queue: KafkaMessage[] = []
  #run: Promise<void> | undefined
  /** Offset behind everything that was taken. */
  #taken: number | undefined
  #position: number | undefined

  constructor(topic: string, partition: number, work: LaneWork, flow: LaneFlow) {
    this.topic = topic
    this.partition = partition
    this.#work = work
    this.#flow = flow
  }

  /** Offset of the first record that is not passed; undefined before the first was. */
  get position(): number | undefined {
    return this.#position
  }

  /**
   * Takes what was fetched over. `next`: the offset behind it, which may lie behind more than records. `end`: where the
   * partition ends, as the broker said with this fetch.
   */
  offer(messages: readonly KafkaMessage[], next: number, end: number): void {
    if (this.#drain.signal.aborted) return
    if (this.#taken !== undefined && end < this.#taken) {
      // The topic was deleted and made again, or lost its end; kafkajs has gone back to its start.
      this.#work.remade(this.#taken, end)
      this.#taken = undefined
      this.#position = undefined
    }
    const taken = this.#taken ?? 0
    // After a rejoin kafkajs fetches from the committed offset, and may repeat what is here already.
    for (const message of messages) if (Number(message.offset) >= taken) this.#queue.push(message)
    this.#taken = Math.max(taken, next)
    if (this.#queue.length === 0) return
    this.#flow.pause()
    this.#run ??= this.#passAll().catch(error => this.#work.failed(error))
  }

  /** The member has joined again and keeps the partition: fetching goes on behind what was taken. */
  keep(): void {
    if (this.#taken !== undefined) this.#flow.seek(this.#taken)
    if (this.#queue.length > 0) this.#flow.pause()
    else this.#flow.resume()
  }

  /** Begins nothing new; resolves when the handler that runs has ended. */
  async drain(): Promise<void> {
    this.#drain.abort()
    await this.#run
  }

  /** The partition is another member's from now on. */
  end(): void {
    this.#drain.abort()
    this.#abort.abort()
  }

  async #passAll(): Promise<void> {
    const { topic, partition } = this
    const signals = { abort: this.#abort.signal, drain: this.#drain.signal }
    while (this.#queue.length > 0 && !signals.drain.aborted) {
      const message = this.#queue[0] as KafkaMessage
      const passed = await this.#work.pass({ topic, partition, message }, signals)
      if (!passed || signals.abort.aborted) return
      this.#queue.shift()
      const [next] = this.#queue
      this.#position = next === undefined ? this.#taken : Number(next.offset)
    }
    this.#run = undefined
    if (!signals.drain.aborted) this.#flow.resume()
  }
}
