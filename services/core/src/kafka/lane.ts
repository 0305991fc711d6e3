/**
 * The records of one partition on their way: some wait, and at most one batch is under way.
 *
 *     waiting ──form──▶ batch ──written──▶ acknowledged
 *                        │ ▲
 *                        └─┘ sent again, the same bytes, until all its records are past their deadline
 *
 * P1–P3 of publisher.ts are kept here.
 */
import type { ProducerIdentity } from './cluster.ts'
import { encodeBatch, recordBytesMax, sequenceAfter } from './record-batch.ts'

/** A record and who waits for it. */
export interface Waiting {
  /** Encoded (`encodeRecord`). */
  readonly record: Buffer
  readonly deadlineAt: number
  readonly resolve: () => void
  readonly reject: (why: string) => void
  /** Its promise is settled; the record may still be in a batch that is under way. */
  settled: boolean
}

export interface LaneLimits {
  readonly batchBytesMax: number
  readonly batchRecordsMax: number
}

/** What of a lane is under way. */
export interface Batch {
  readonly waiting: readonly Waiting[]
  bytes: Buffer
  /** How often it was handed to a connection. */
  sends: number
}

const BATCH_OVERHEAD_BYTES = 128
const EPOCH_MAX = 32_767

export class Lane {
  readonly partition: number
  readonly #limits: LaneLimits
  #identity: ProducerIdentity | undefined
  #sequence = 0
  /** A producer id that has no epochs left. */
  #usedUp: bigint | undefined
  #waiting: Waiting[] = []
  #batch: Batch | undefined
  /** A request with its batch is under way. */
  sending = false
  /** Not to be sent before this time, ms since the epoch. */
  notBefore = 0
  /** Its last request failed or was slow: until one succeeds it travels alone, so as not to hold up others. */
  alone = false

  constructor(partition: number, limits: LaneLimits) {
    this.partition = partition
    this.#limits = limits
  }

  add(waiting: Waiting): void {
    this.#waiting.push(waiting)
  }

  get empty(): boolean {
    return this.#batch === undefined && this.#waiting.length === 0
  }

  /** Whether it needs a new producer id before it can form a batch. */
  get needsIdentity(): boolean {
    return this.#identity === undefined
  }

  /** Takes a producer id; false where it has used that one up. */
  identify(identity: ProducerIdentity): boolean {
    if (identity.producerId === this.#usedUp) return false
    this.#identity = identity
    this.#sequence = 0
    return true
  }

  /** The batch to send: the one under way, or a new one of what waits; undefined where there is neither. */
  nextBatch(nowMs: number): Batch | undefined {
    this.#batch ??= this.#form(nowMs)
    return this.#batch
  }

  /** Its batch is handed to a connection. */
  sent(batch: Batch): void {
    batch.sends++
    this.sending = true
  }

  /** Whether an answer about this batch still matters: it was not given up meanwhile. */
  awaits(batch: Batch): boolean {
    return this.#batch === batch
  }

  /** The batch is in the log of all in-sync replicas. */
  written(batch: Batch): void {
    this.#batch = undefined
    this.#sequence = sequenceAfter(this.#sequence, batch.waiting.length)
    this.sending = false
    this.alone = false
    for (const waiting of batch.waiting) settle(waiting, undefined)
  }

  /** The same bytes are to be sent again at `notBefore`. */
  again(notBefore: number): void {
    this.sending = false
    this.alone = true
    this.notBefore = notBefore
  }

  /**
   * The broker does not take the batch's numbers. Sent only once it was certainly not written: it gets new numbers.
   * Else an earlier send may have been written, and new numbers could write it twice: it is given up.
   */
  renumber(batch: Batch, nowMs: number, why: string): void {
    if (batch.sends > 1) {
      this.refused(why)
      return
    }
    this.#newEpoch()
    if (this.#identity === undefined) this.#giveUp(why)
    else batch.bytes = this.#encode(batch.waiting, nowMs)
    this.again(0)
  }

  /** The batch will not be written, or nobody knows whether it was. */
  refused(why: string): void {
    this.#newEpoch()
    this.#giveUp(why)
  }

  /** Rejects what is past its deadline; a batch of which nothing is left to wait for is given up. */
  expire(nowMs: number, why: string): void {
    this.#waiting = this.#waiting.filter(waiting => !expired(waiting, nowMs, why))
    const batch = this.#batch
    if (batch === undefined) return
    let left = 0
    for (const waiting of batch.waiting) if (!expired(waiting, nowMs, why)) left++
    if (left === 0) this.refused(why)
  }

  #giveUp(why: string): void {
    const batch = this.#batch
    this.#batch = undefined
    this.sending = false
    for (const waiting of batch?.waiting ?? []) settle(waiting, why)
  }

  /** P3: after a batch whose fate is unknown, its numbers must not be used again. */
  #newEpoch(): void {
    const identity = this.#identity
    this.#sequence = 0
    if (identity === undefined) return
    if (identity.epoch >= EPOCH_MAX) {
      this.#identity = undefined
      this.#usedUp = identity.producerId
    } else this.#identity = { producerId: identity.producerId, epoch: identity.epoch + 1 }
  }

  #form(nowMs: number): Batch | undefined {
    if (this.#waiting.length === 0 || this.#identity === undefined) return undefined
    const { batchRecordsMax, batchBytesMax } = this.#limits
    let bytes = BATCH_OVERHEAD_BYTES
    let count = 0
    while (count < this.#waiting.length && count < batchRecordsMax) {
      bytes += recordBytesMax((this.#waiting[count] as Waiting).record)
      if (count > 0 && bytes > batchBytesMax) break
      count++
    }
    const all = this.#waiting
    const waiting = count === all.length ? all : all.slice(0, count)
    this.#waiting = count === all.length ? [] : all.slice(count)
    return { waiting, bytes: this.#encode(waiting, nowMs), sends: 0 }
  }

  #encode(waiting: readonly Waiting[], nowMs: number): Buffer {
    const identity = { ...(this.#identity as ProducerIdentity), sequence: this.#sequence }
    return encodeBatch(
      waiting.map(({ record }) => record),
      identity,
      nowMs,
    )
  }
}

function expired(waiting: Waiting, nowMs: number, why: string): boolean {
  if (waiting.settled) return true
  if (waiting.deadlineAt > nowMs) return false
  settle(waiting, why)
  return true
}

function settle(waiting: Waiting, why: string | undefined): void {
  if (waiting.settled) return
  waiting.settled = true
  if (why === undefined) waiting.resolve()
  else waiting.reject(why)
}
