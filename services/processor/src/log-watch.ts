/**
 * Follows in which log each input of a task is read. Under a new leader a partition may have lost its end, and have grown
 * past what was read before the next fetch: then what was read under the epoch before ends earlier than it was read to.
 * Until the leader has said that it does not, the input's log is the one before: with that the next owner finds it out.
 */
import type { FetchedBatch } from '@sallyport/core/kafka/group-consumer'
import type { Input } from './poll.ts'

export interface LogWatchDependencies {
  /** One past the last record of a leader's epoch; undefined where the leader does not say. */
  epochEnd(topic: string, epoch: number): Promise<number | undefined>
  /** The log of a topic ends there, before what was read. */
  remade(topic: string, end: number): void
}

export class LogWatch {
  readonly #deps: LogWatchDependencies
  readonly #asked = new Set<string>()

  constructor(deps: LogWatchDependencies) {
    this.#deps = deps
  }

  /** A batch of an input was taken over, up to an offset. */
  took(input: Input, { records, leaderEpoch }: FetchedBatch, next = Number.POSITIVE_INFINITY): void {
    const { log } = input
    const last = records.at(-1)
    if (log === undefined || leaderEpoch === undefined || last === undefined) return
    const read = { ...log, leaderEpoch, readTo: Math.min(last.offset + 1, next) }
    if (leaderEpoch === log.leaderEpoch || log.leaderEpoch < 0) input.log = read
    else if (leaderEpoch > log.leaderEpoch) void this.#compare(input, log, read)
  }

  async #compare(input: Input, log: Log, read: Log): Promise<void> {
    const { topic } = input.spec
    if (this.#asked.has(topic)) return
    this.#asked.add(topic)
    const end = await this.#deps.epochEnd(topic, log.leaderEpoch).catch(() => undefined)
    this.#asked.delete(topic)
    if (end === undefined) return
    if (end < log.readTo) this.#deps.remade(topic, end)
    else input.log = read
  }
}

type Log = NonNullable<Input['log']>
