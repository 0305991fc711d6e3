/** The event ids that a task attempts at the moment, each with the records of the same id that wait for its outcome (T2). */
import type { FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import type { EventRecord } from './decode.ts'
import { recordBytes } from './poll.ts'

/** An attempt that is under way. */
export interface Attempted {
  readonly eventRecord: EventRecord
  readonly waiting: readonly FetchedRecord[]
  /** Its record was set aside: the outcome is settled without it (set-aside.ts). */
  isAside: boolean
}

interface Entry extends Attempted {
  waiting: FetchedRecord[]
}

export class AttemptedIds {
  readonly #attempts = new Map<string, Entry>()
  /** Of all that wait. */
  #records = 0
  #bytes = 0

  get isEmpty(): boolean {
    return this.#attempts.size === 0
  }

  /** Whether as much waits as may (T5). */
  isFull(recordsMax: number, bytesMax: number): boolean {
    return this.#records >= recordsMax || this.#bytes >= bytesMax
  }

  get all(): Iterable<Attempted> {
    return this.#attempts.values()
  }

  /** The attempt at an id that is under way. */
  get(id: string): Attempted | undefined {
    return this.#attempts.get(id)
  }

  begin(eventRecord: EventRecord): void {
    this.#attempts.set(eventRecord.event.id, { eventRecord, waiting: [], isAside: false })
  }

  /** Has a record wait for the outcome of an attempt at its id. */
  wait(attempted: Attempted, record: FetchedRecord): void {
    const { waiting } = attempted as Entry
    waiting.push(record)
    this.#count([record], 1)
  }

  /** Gives some of the records back that wait for an attempt. */
  takeWaiting(attempted: Attempted, isWanted: (record: FetchedRecord) => boolean): readonly FetchedRecord[] {
    const entry = attempted as Entry
    const taken = entry.waiting.filter(isWanted)
    if (taken.length > 0) entry.waiting = entry.waiting.filter(record => !isWanted(record))
    this.#count(taken, -1)
    return taken
  }

  /** The attempt has ended, and what waited for it waits no more. */
  end(id: string): Attempted | undefined {
    const attempted = this.#attempts.get(id)
    this.#attempts.delete(id)
    this.#count(attempted?.waiting ?? [], -1)
    return attempted
  }

  #count(records: readonly FetchedRecord[], sign: 1 | -1): void {
    this.#records += sign * records.length
    for (const record of records) this.#bytes += sign * recordBytes(record)
  }
}
