/**
 * Stage 5: bounded intake. One queue per input partition; a full queue pauses its partition, a half-empty one
 * resumes it. Of a fetch is taken what there is room for; the rest is fetched again (K5, K6 of memory.ts). Records of a retry tier come out when they are due: append time + the tier's delay, by the brokers'
 * clock (`dueAt`). A tier's records share one delay, so the head is always the first to be due.
 */
import type { InputLog } from '@sallyport/core/contract'
import type { ReadHeaders } from '@sallyport/core/headers'
import type { FetchedBatch, FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import { dueAt, type InputSpec } from './inputs.ts'
import type { TaskMemory } from './memory.ts'
import { PositionHold } from './position-hold.ts'
import { Watermark } from './watermark.ts'

export interface IntakeLimits {
  readonly queueRecordsMax: number
  readonly queueBytesMax: number
}

/** Where an input begins. */
export interface InputStart {
  /** Of the first record to read. */
  readonly offset: number
  /** The log that the offset is of. */
  readonly log?: InputLog | undefined
  /** Records up to this append time, ms since the epoch, were settled and are read again. */
  readonly readAgainUntil?: number | undefined
}

/** How an intake stops and starts the fetching of a topic's partition. */
export interface Flow {
  pause(topic: string): void
  resume(topic: string): void
}

/**
 * Records of an input that may be ahead of its oldest unsettled one. An attempt that takes an hour holds up the
 * position, and what is remembered of all that are settled behind it would grow for as long (T5).
 */
const AHEAD_MAX = 250_000

/** What a record takes beside its bytes: its objects, and its place in the queue and in the watermark. */
const RECORD_OVERHEAD_BYTES = 640
/** What each header takes beside its bytes. */
const HEADER_OVERHEAD_BYTES = 160

/** One input of a task: its queue, and how far it is settled. */
export class Input {
  readonly spec: InputSpec
  readonly watermark: Watermark
  readonly queue: (FetchedRecord | undefined)[] = []
  /** Index of the queue's head: shifting a long array costs. */
  head = 0
  bytes = 0
  paused = false
  /** Set while the head's schema is being asked for. */
  blocked = false
  /** The log that the position is of; undefined where nothing tells. */
  log: InputLog | undefined
  /** How long its position has been held. */
  readonly hold: PositionHold
  /** Until when records that are read again were settled, ms since the epoch; undefined where none are read again. */
  readonly #readAgainUntil: number | undefined

  constructor(spec: InputSpec, { offset, log, readAgainUntil }: InputStart) {
    this.spec = spec
    this.watermark = new Watermark(offset)
    this.log = log
    this.hold = new PositionHold(log?.held)
    this.#readAgainUntil = readAgainUntil
  }

  /**
   * Whether a record is read again that was settled before, and whose claim may have expired since: its own window has
   * passed. One whose window has not passed has its claim if it took effect.
   */
  isSettledBefore({ timestamp }: FetchedRecord, windowMs: number, now: number): boolean {
    const until = this.#readAgainUntil
    return until !== undefined && timestamp <= until && timestamp + windowMs <= now
  }

  get length(): number {
    return this.queue.length - this.head
  }

  /** Offset below which all records have been taken out of the queue. */
  get front(): number {
    return this.queue[this.head]?.offset ?? this.watermark.next
  }

  /** The log that the position is of, and since when the position has been held. */
  get standing(): InputLog | undefined {
    return this.log && { ...this.log, held: this.hold.at(this.watermark.position) }
  }

  /** Whether its head may be taken: its schema is known, and what was taken is not too far ahead. */
  get isOpen(): boolean {
    return !this.blocked && this.watermark.open - this.length < AHEAD_MAX
  }

  /** When the head is due, ms since the epoch by the brokers' clock; undefined when the queue is empty. */
  dueAt(): number | undefined {
    const head = this.queue[this.head]
    return head === undefined ? undefined : dueAt(this.spec, head)
  }
}

export class Intake {
  readonly #inputs: ReadonlyMap<string, Input>
  readonly #rotation: Input[]
  readonly #limits: IntakeLimits
  readonly #memory: TaskMemory
  readonly #flow: Flow
  /** Records that came back: they are due, and still count as taken. */
  #again: FetchedRecord[] = []
  #againBytes = 0
  #isAgainsTurn = false

  constructor(inputs: readonly Input[], limits: IntakeLimits, memory: TaskMemory, flow: Flow) {
    this.#inputs = new Map(inputs.map(input => [input.spec.topic, input]))
    this.#rotation = [...inputs]
    this.#limits = limits
    this.#memory = memory
    this.#flow = flow
  }

  get inputs(): Iterable<Input> {
    return this.#inputs.values()
  }

  input(topic: string): Input {
    return this.#inputs.get(topic) as Input
  }

  /**
   * Whether a batch comes from another topic of the name, or from one that lost its end: it ends before what was taken.
   * A leader that has just taken over may know of less for a moment, too, but gives no records beyond it.
   */
  isRemade({ topic, highWatermark, nextOffset, leaderEpoch }: FetchedBatch): boolean {
    const input = this.#inputs.get(topic)
    if (input === undefined) return false
    const { next } = input.watermark
    // In one log, what comes later has the same leader's epoch or a later one.
    const isEarlier = leaderEpoch !== undefined && leaderEpoch < (input.log?.leaderEpoch ?? leaderEpoch)
    return highWatermark < next || (nextOffset > next && isEarlier)
  }

  /**
   * Takes what there is room for of a batch over, and gives the offset from which the topic is to be read on: the
   * batch's `nextOffset` when all was taken. Undefined where nothing was, or the topic is no input.
   */
  offer(batch: FetchedBatch): number | undefined {
    const input = this.#inputs.get(batch.topic)
    if (input === undefined) return undefined
    // A batch that was under way while the position moved may repeat what was taken. Within a batch the writer numbers
    // the records, and the broker does not check it: what does not ascend is passed over, as the Java client does.
    let { next } = input.watermark
    let room = this.#room(input)
    const records: FetchedRecord[] = []
    let isAll = true
    let taken = 0
    for (const record of batch.records) {
      if (record.offset < next) continue
      const bytes = recordBytes(record)
      isAll = bytes <= room || input.length + records.length === 0
      if (!isAll) break
      records.push(record)
      next = record.offset + 1
      room -= bytes
      taken += bytes
    }
    if (isAll) next = Math.max(next, batch.nextOffset)
    input.watermark.take(records, next)
    for (const record of records) input.queue.push(record)
    this.#queue(input, taken)
    if (!input.paused && (!isAll || this.#isFull(input))) {
      input.paused = true
      this.#flow.pause(input.spec.topic)
    }
    return isAll || records.length > 0 ? next : undefined
  }

  /** What lies from one offset up to another is no record, or has expired: nothing of it will come. */
  pass(topic: string, from: number, next: number): void {
    const watermark = this.#inputs.get(topic)?.watermark
    // A fetch that was under way while the position moved tells of another place.
    if (watermark?.next === from) watermark.take([], next)
  }

  /**
   * The next record that is due at `now`, what was put back and the inputs in turn; undefined when none is. Without
   * room for new claims the tiers and what was put back go on: their events have claims, which only they can settle,
   * or were taken while there was room.
   */
  next(now: number, hasRoom = true): FetchedRecord | undefined {
    this.#isAgainsTurn = !this.#isAgainsTurn
    const isFirst = this.#isAgainsTurn || this.#againBytes >= this.#memory.waitingMax
    if (isFirst && this.#again.length > 0) return this.#nextAgain()
    return this.#nextFetched(now, hasRoom) ?? this.#nextAgain()
  }

  #nextAgain(): FetchedRecord | undefined {
    const record = this.#again.shift()
    if (record !== undefined) this.#againBytes -= recordBytes(record)
    return record
  }

  #nextFetched(now: number, hasRoom: boolean): FetchedRecord | undefined {
    for (let i = 0; i < this.#rotation.length; i++) {
      const input = this.#rotation[i] as Input
      if (!hasRoom && input.spec.kind !== 'retry') continue
      const dueAt = input.isOpen ? input.dueAt() : undefined
      if (dueAt === undefined || dueAt > now) continue
      this.#rotation.splice(i, 1)
      this.#rotation.push(input)
      return this.#shift(input)
    }
    return undefined
  }

  /** Takes back records that `next` gave and that are to be considered again. */
  putBack(records: readonly FetchedRecord[]): void {
    for (const record of records) {
      this.#again.push(record)
      this.#againBytes += recordBytes(record)
    }
  }

  /** Gives those of the records back that were put back. */
  takePutBack(isWanted: (record: FetchedRecord) => boolean): readonly FetchedRecord[] {
    const taken = this.#again.filter(isWanted)
    if (taken.length > 0) this.#again = this.#again.filter(record => !isWanted(record))
    for (const record of taken) this.#againBytes -= recordBytes(record)
    return taken
  }

  /** Puts back the record that `next` gave last of this input, and holds the input until `unblock`. */
  block(record: FetchedRecord): void {
    const input = this.input(record.topic)
    input.queue.splice(input.head, 0, record)
    this.#queue(input, recordBytes(record))
    input.blocked = true
  }

  unblock(topic: string): void {
    this.input(topic).blocked = false
  }

  /** When the next head that is not due will be, ms since the epoch by the brokers' clock. */
  nextDueAt(now: number): number | undefined {
    let earliest: number | undefined
    for (const input of this.#inputs.values()) {
      const dueAt = input.isOpen ? input.dueAt() : undefined
      if (dueAt !== undefined && dueAt > now && (earliest === undefined || dueAt < earliest)) earliest = dueAt
    }
    return earliest
  }

  #shift(input: Input): FetchedRecord {
    const record = input.queue[input.head] as FetchedRecord
    // What is done must not be held by its place in the queue.
    input.queue[input.head] = undefined
    input.head++
    this.#queue(input, -recordBytes(record))
    if (input.head === input.queue.length || input.head > 1_024) {
      input.queue.splice(0, input.head)
      input.head = 0
    }
    if (input.paused && this.#isHalfEmpty(input)) {
      input.paused = false
      this.#flow.resume(input.spec.topic)
    }
    return record
  }

  /** Bytes come into an input's queue, or leave it. */
  #queue(input: Input, bytes: number): void {
    input.bytes += bytes
    this.#memory.queue(bytes)
  }

  /** Bytes that an input's queue has room for. */
  #room({ bytes, spec }: Input): number {
    const room = this.#memory.queueRoom(bytes, spec.kind === 'retry')
    return Math.min(room, this.#limits.queueBytesMax - bytes)
  }

  #isFull(input: Input): boolean {
    return input.length >= this.#limits.queueRecordsMax || this.#room(input) <= 0
  }

  #isHalfEmpty(input: Input): boolean {
    return input.length * 2 <= this.#limits.queueRecordsMax && input.bytes <= this.#room(input)
  }
}

/** What a record in memory counts for, bytes. */
export function recordBytes(record: FetchedRecord): number {
  let bytes = (record.key?.length ?? 0) + (record.value?.length ?? 0) + RECORD_OVERHEAD_BYTES
  for (const name in record.headers) bytes += name.length + headerBytes(record.headers[name] ?? null)
  return bytes
}

function headerBytes(header: ReadHeaders[string]): number {
  if (!Array.isArray(header)) return HEADER_OVERHEAD_BYTES + (header?.length ?? 0)
  return header.reduce((sum, one) => sum + HEADER_OVERHEAD_BYTES + (one?.length ?? 0), 0)
}
