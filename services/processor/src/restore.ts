/**
 * Reads a partition of the claims topic back, from its start (or from where a checkpoint ends) to this acquisition's
 * barrier. The end offset would not do: transaction markers and the empty batch that the log cleaner keeps lie behind
 * the last record. All that earlier owners committed lies before the barrier, because writing it fenced them.
 */
import type { InputLog, Positions } from '@sallyport/core/contract'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import type { FetchedBatch, FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import type { SchemaRegistry } from '@sallyport/core/kafka/registry'
import { RegistryReader } from '@sallyport/core/registry-reader'
import type { ClaimState } from './claim.ts'
import type { ClaimStore } from './claim-store.ts'
import { BARRIER_KEY, isClaimKey, POSITIONS_KEY } from './claims-record.ts'
import { BARRIER_SCHEMA, CLAIM_SCHEMA, POSITIONS_SCHEMA } from './config.ts'

/** Schema ids in the registry. */
export interface RestoreSchemas {
  readonly claim: number
  readonly positions: number
  readonly barrier: number
}

/** Where the last owner stood. */
export interface RestoredPositions {
  /** Input topic → offset of the first record that was not settled. */
  readonly offsets: ReadonlyMap<string, number>
  /** Input topic → the log that its offset is of; none in what earlier versions wrote. */
  readonly logs: ReadonlyMap<string, InputLog>
  /** When they were written, ms since the epoch. */
  readonly writtenAt: number
}

/** A reader of one kind of record in the claims topic. */
class ClaimsReader<T> {
  readonly #reader: RegistryReader<T>
  #lastBytes: Buffer | undefined
  #last: T | undefined

  constructor(reader: RegistryReader<T>) {
    this.#reader = reader
  }

  isPrepared(value: Buffer): boolean {
    return this.#reader.isPrepared(value)
  }

  async prepare(value: Buffer): Promise<void> {
    await this.#reader.prepare(value)
  }

  /** Most claims are alike, byte for byte: to compare is cheaper than to decode. */
  read(value: Buffer): T {
    if (this.#last === undefined || this.#lastBytes?.equals(value) !== true) {
      this.#last = this.#reader.read(value)
      this.#lastBytes = value
    }
    return this.#last
  }
}

/** What the restore reads. */
export interface RestoreBounds {
  /** Offset of the first record. */
  readonly from: number
  /** When the barrier was written, by the brokers' clock, ms since the epoch. */
  readonly notAfter: number
}

/** How the restore holds the fetching up. */
export interface RestoreFlow {
  pause(): void
  resume(): void
}

/** Records read in one go: a few milliseconds, then heartbeats and other tasks have their turn. */
const SLICE_RECORDS = 1_000
/** Records that may wait to be read. */
const BACKLOG_RECORDS_MAX = 50_000

export class Restore {
  readonly #store: ClaimStore
  readonly #nonce: string
  readonly #notAfter: number
  readonly #claims: ClaimsReader<{ state: ClaimState; generation: number; attempt: number; windowMs: number }>
  readonly #positionsReader: ClaimsReader<Positions>
  readonly #barriers: ClaimsReader<{ nonce: string; process: string }>
  readonly #done = Promise.withResolvers<RestoredPositions | undefined>()
  readonly #flow: RestoreFlow
  readonly #waiting: (readonly FetchedRecord[])[] = []
  #backlog = 0
  #held = false
  #next: number
  #reading = false
  #finished = false
  /** What the last positions record said that was read. */
  positions: RestoredPositions | undefined
  /** The process that owned the partition last; empty where it has drained, or none is known. */
  predecessor = ''
  /** Records read so far. */
  records = 0
  /** Offset of this acquisition's barrier, once `done` has resolved. */
  barrierOffset = -1

  constructor(
    store: ClaimStore,
    nonce: string,
    { from, notAfter }: RestoreBounds,
    schemas: RestoreSchemas,
    registry: SchemaRegistry,
    flow: RestoreFlow,
  ) {
    this.#store = store
    this.#nonce = nonce
    this.#next = from
    this.#notAfter = notAfter
    this.#claims = new ClaimsReader(new RegistryReader(CLAIM_SCHEMA, registry, schemas.claim))
    this.#positionsReader = new ClaimsReader(
      new RegistryReader(POSITIONS_SCHEMA, registry, schemas.positions),
    )
    this.#barriers = new ClaimsReader(new RegistryReader(BARRIER_SCHEMA, registry, schemas.barrier))
    this.#flow = flow
    this.#done.promise.catch(() => {})
  }

  /** Resolves at the barrier with the positions record, if there is one; rejects with `SP_RESTORE`. */
  get done(): Promise<RestoredPositions | undefined> {
    return this.#done.promise
  }

  /** Offset of the first record that was not offered: from there the reading goes on after a new assignment. */
  get next(): number {
    return this.#next
  }

  /** Whether so much waits that nothing more should be fetched. */
  get isHeld(): boolean {
    return this.#held
  }

  /**
   * Takes a batch of the claims topic. What was offered before is passed over: an older claim must not come after a newer
   * one. What lies behind the barrier is not read: this owner wrote it.
   */
  offer(batch: FetchedBatch): void {
    const records = batch.records.filter(({ offset }) => offset >= this.#next)
    this.#next = Math.max(this.#next, batch.nextOffset)
    this.#waiting.push(records)
    this.#backlog += records.length
    if (!this.#held && this.#backlog > BACKLOG_RECORDS_MAX) {
      this.#held = true
      this.#flow.pause()
    }
    if (!this.#reading) void this.#readAll()
  }

  /** Reads no more. */
  close(): void {
    this.#finished = true
  }

  async #readAll(): Promise<void> {
    this.#reading = true
    for (let records = this.#waiting.shift(); records !== undefined; records = this.#waiting.shift()) {
      for (let i = 0; i < records.length && !this.#finished; i += SLICE_RECORDS) {
        await this.#readSlice(records.slice(i, i + SLICE_RECORDS))
        await new Promise(resolve => setImmediate(resolve))
      }
      this.#backlog -= records.length
      if (this.#held && this.#backlog * 2 < BACKLOG_RECORDS_MAX && !this.#finished) {
        this.#held = false
        this.#flow.resume()
      }
    }
    this.#reading = false
  }

  /** Awaits nothing where all schemas are known: a turn of the event loop for each record would cost more than it. */
  async #readSlice(records: readonly FetchedRecord[]): Promise<void> {
    for (const record of records) {
      if (this.#finished) return
      this.records++
      try {
        const { value } = record
        const reader = this.#readerOf(record)
        if (value !== null && !reader.isPrepared(value)) await reader.prepare(value)
        this.#apply(record)
      } catch (error) {
        this.#finished = true
        this.#done.reject(unreadable(record, error))
      }
    }
  }

  #readerOf({ key }: FetchedRecord): ClaimsReader<unknown> {
    if (key === null || isClaimKey(key)) return this.#claims
    const name = String(key)
    if (name === BARRIER_KEY) return this.#barriers
    return name === POSITIONS_KEY ? this.#positionsReader : this.#claims
  }

  #apply({ key, value, offset, timestamp }: FetchedRecord): void {
    const name = String(key)
    // What lies before the barrier was written before it, whatever a leader's clock said.
    const at = Math.min(timestamp, this.#notAfter)
    if (name === BARRIER_KEY) {
      const barrier = value === null ? undefined : this.#barriers.read(value)
      if (barrier?.nonce !== this.#nonce) {
        this.predecessor = barrier?.process ?? ''
        return
      }
      this.#finished = true
      this.barrierOffset = offset
      this.#done.resolve(this.positions)
    } else if (name === POSITIONS_KEY) {
      this.positions = value === null ? undefined : this.#positionsIn(value, at)
    } else if (value === null) {
      this.#store.delete(name)
    } else {
      // Its own time tells what has certainly expired: the records were written one after the other.
      const { state, generation, attempt, windowMs } = this.#claims.read(value)
      this.#store.set(name, { state, generation, attempt, windowMs, at }, at)
    }
  }

  #positionsIn(value: Buffer, writtenAt: number): RestoredPositions {
    const { inputs, logs } = this.#positionsReader.read(value)
    return { offsets: new Map(Object.entries(inputs)), logs: new Map(Object.entries(logs)), writtenAt }
  }
}

function unreadable({ topic, partition, offset }: FetchedRecord, error: unknown): SallyportError {
  if (error instanceof SallyportError) return error
  return new SallyportError(
    'SP_RESTORE',
    `${topic}/${partition}/${offset} cannot be read (${errorMessage(error)}): only Sallyport may write to the claims topic`,
    { cause: error },
  )
}
