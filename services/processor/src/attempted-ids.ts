/** The event ids that a task attempts at the moment, each with the records of the same id that wait for its outcome (T2). */
import type { FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import { recordBytes } from './poll.ts'

export class AttemptedIds {
  readonly #waiting = new Map<string, FetchedRecord[]>()
  /** Of all that wait. */
  #records = 0
  #bytes = 0

  get isEmpty(): boolean {
    return this.#waiting.size === 0
  }

  /** Whether as much waits as may (T5). */
  isFull(recordsMax: number, bytesMax: number): boolean {
    return this.#records >= recordsMax || this.#bytes >= bytesMax
  }

  begin(id: string): void {
    this.#waiting.set(id, [])
  }

  /** Has a record wait for the outcome of its id. False: that is not being attempted. */
  wait(id: string, record: FetchedRecord): boolean {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return false
    waiting.push(record)
    this.#records++
    this.#bytes += recordBytes(record)
    return true
  }

  /** The attempt has ended: gives the records back that waited for it. */
  end(id: string): readonly FetchedRecord[] {
    const waiting = this.#waiting.get(id) ?? []
    this.#waiting.delete(id)
    this.#records -= waiting.length
    for (const record of waiting) this.#bytes -= recordBytes(record)
    return waiting
  }
}
