/**
 * The outcomes of one task that wait to be settled: while one transaction is under way the next one gathers.
 *
 * Q1. Outcomes are settled in the order in which they were decided.
 * Q2. A position passes a record only in the transaction that settles it, or a later one.
 * Q3. After a failure nothing more is settled.
 *
 * The group's offsets, which lag tools read, are written with one transaction a second: they are no more than a mirror
 * of the positions, and cost three of the ten requests of a transaction.
 */
import type { FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import { nameOf } from '@sallyport/core/kafka/transactions/requests'
import type { Log } from '@sallyport/core/log'
import * as metrics from '@sallyport/core/metrics'
import { contextOf, endFailed, type Span, SpanKind, startChild } from '@sallyport/core/trace'
import type { Covered } from './checkpointer.ts'
import type { Claim } from './claim.ts'
import type { ClaimStore } from './claim-store.ts'
import type { Outcome } from './decide.ts'
import type { Failure } from './failure.ts'
import { outputBytes } from './outputs.ts'
import { type Intake, recordBytes } from './poll.ts'
import { Refresh } from './refresh.ts'
import type { Settlement, Settler } from './settle.ts'
import type { TransactionSize } from './transaction-size.ts'

export interface SettleQueueDependencies {
  readonly processor: string
  readonly settler: Settler
  readonly intake: Intake
  readonly claims: ClaimStore
  /** Bytes that outcomes may hold before they stop the intake. */
  readonly bytesMax: () => number
  /** What one transaction takes; it learns how long they last. */
  readonly size: TransactionSize
  readonly log: Log
  /** The brokers' clock. */
  readonly now: () => number
  /** The source's name in metrics: a foreign producer must not grow them. */
  sourceLabel(source: string): string
  /** Outcomes have become true. */
  settled(covered: Covered): void
  failed(error: unknown): void
}

/** Outcomes that may wait; more stop the intake. */
const WAITING_MAX = 5_000
/**
 * Between the beginnings of two transactions of a task: so many times as long as the last one took, but within these
 * bounds, ms. A transaction costs as much CPU as some thirty events, so at a moderate rate it must not be one an event,
 * and the busier the brokers are the more it must take; a task that was idle settles at once.
 */
const GATHER_TIMES = 4
const GATHER_MS_MIN = 20
const GATHER_MS_MAX = 80
/** How far the group's offsets may be behind the positions, ms. */
const MIRROR_MS = 1_000

export class SettleQueue {
  readonly #deps: SettleQueueDependencies
  #waiting: Settlement[] = []
  /** What the outcomes hold that are not settled, those of the transaction under way included. */
  #bytes = 0
  readonly #refresh: Refresh
  /** When the group's offsets were last written, by `performance.now()`. */
  #mirroredAt = Number.NEGATIVE_INFINITY
  /** Runs while the group's offsets are behind. */
  #mirrorTimer: NodeJS.Timeout | undefined
  #mirrorNow = false
  /** The last transaction is to say that nothing is under way any more. */
  #leaves = false
  #touched = false
  /** When the last transaction began, by `performance.now()`. */
  #begunAt = Number.NEGATIVE_INFINITY
  /** How long the last transaction took, ms. */
  #tookMs = 0
  #settling: Promise<void> | undefined
  #closed = false

  constructor(deps: SettleQueueDependencies) {
    this.#deps = deps
    this.#refresh = new Refresh(deps.claims.pending)
  }

  /** Outcomes that are not yet in a transaction. */
  get length(): number {
    return this.#waiting.length
  }

  /** Whether the intake may go on: outcomes wait within their bounds (T5). */
  get hasRoom(): boolean {
    return this.#waiting.length < WAITING_MAX && this.#bytes < this.#deps.bytesMax()
  }

  add(settlement: Settlement): void {
    this.#waiting.push(settlement)
    this.#bytes += settlementBytes(settlement)
    this.#start()
  }

  /** Writes PENDING claims and the positions again: they must not expire. */
  refresh(): void {
    this.#refresh.ask()
    this.#start()
  }

  /** Lets PENDING claims go that wait for nothing. */
  letGo(orphans: readonly (readonly [eventId: string, claim: Claim])[]): void {
    this.#refresh.letGo(orphans)
    this.#start()
  }

  /** Writes the positions again, which tells the time by the broker that takes them. */
  touch(): void {
    this.#touched = true
    this.#start()
  }

  /**
   * Settles what waits, brings the group's offsets up to the positions, and says that this owner has drained. What is
   * still to be written again is left to the next owner, who begins with that.
   */
  async finish(): Promise<void> {
    this.#refresh.stop()
    this.#mirrorNow = this.#mirrorTimer !== undefined
    this.#leaves = true
    this.#start()
    await this.idle()
  }

  /** Settles nothing more. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#mirrorTimer)
  }

  /** Resolves when no transaction is under way; until nothing waits, unless closed. */
  async idle(): Promise<void> {
    while (this.#settling !== undefined) await this.#settling
  }

  #start(): void {
    if (this.#settling !== undefined || this.#closed) return
    this.#settling = this.#run()
  }

  async #run(): Promise<void> {
    try {
      do {
        await this.#gather()
        if (!this.#closed) await this.#settle()
      } while (
        !this.#closed &&
        (this.#waiting.length > 0 || this.#refresh.isDue || this.#mirrorNow || this.#leaves || this.#touched)
      )
    } catch (error) {
      this.#closed = true
      this.#deps.failed(error)
    } finally {
      this.#settling = undefined
    }
  }

  /** Waits until the last transaction began a while ago; at least for this turn of the event loop. */
  async #gather(): Promise<void> {
    const gatherMs = Math.min(Math.max(GATHER_TIMES * this.#tookMs, GATHER_MS_MIN), GATHER_MS_MAX)
    const waitMs = this.#begunAt + gatherMs - performance.now()
    await new Promise(resolve => (waitMs > 0 ? setTimeout(resolve, waitMs) : setImmediate(resolve)))
    this.#begunAt = performance.now()
  }

  async #settle(): Promise<void> {
    const { intake, settler, claims, processor, size, now } = this.#deps
    this.#touched = false
    const settlements = this.#takeNext()
    // Those that Kafka has (N1): written ahead of its retry record, a claim would make the event's own record a duplicate.
    const refreshed = this.#refresh.next()
    const gone = this.#refresh.nextGone()
    for (const { record, isAside } of settlements) {
      if (!isAside) intake.input(record.topic).watermark.settle(record.offset)
    }
    const positions = [...intake.inputs].map(({ spec, watermark, standing }) => ({
      topic: spec.topic,
      offset: watermark.position,
      log: standing,
    }))
    const at = now()
    const leaves = this.#leaves && this.#waiting.length === 0
    if (leaves) this.#leaves = false
    const startedAt = performance.now()
    const spans = settlements.flatMap(({ span }) => (span?.isRecording() ? [settleSpan(span), span] : []))
    let offset: number | undefined
    try {
      offset = await settler.settle(settlements, refreshed, gone, positions, this.#mirrors(), leaves)
    } catch (error) {
      for (const span of spans) endFailed(span, error)
      this.#failed(performance.now() - startedAt)
      throw error
    }
    for (const span of spans) span.end()
    this.#tookMs = performance.now() - startedAt
    size.committed(this.#tookMs)
    metrics.settleSeconds.observe({ processor }, this.#tookMs / 1_000)
    for (const id of gone) claims.delete(id)
    for (const settlement of settlements) {
      const { eventRecord, claim } = settlement
      if (eventRecord !== null && claim !== null) claims.set(eventRecord.event.id, claim, now())
      this.#bytes -= settlementBytes(settlement)
    }
    this.#count(settlements)
    this.#deps.settled({ offset, positions, at, hasLeft: leaves })
  }

  /** Says that the transactions will be smaller, where this one ran out of time. */
  #failed(tookMs: number): void {
    const { size, log } = this.#deps
    if (!size.failed(tookMs)) return
    const { outcomesMax } = size
    log.warn({ tookMs, outcomesMax }, 'a transaction ran out of time; the next ones take half as much')
  }

  /** The outcomes of the next transaction: those that were decided first (Q1), as many as it can write in time. */
  #takeNext(): Settlement[] {
    const { outcomesMax, bytesMax, partitionsMax } = this.#deps.size
    const countMax = Math.min(this.#waiting.length, outcomesMax)
    const partitions = new Set<string>()
    let count = 0
    let bytes = 0
    while (count < countMax) {
      const settlement = this.#waiting[count] as Settlement
      const { outcome } = settlement
      bytes += settlementBytes(settlement)
      if (outcome.kind === 'processed') for (const output of outcome.outputs) partitions.add(nameOf(output))
      if (count > 0 && (bytes > bytesMax || partitions.size > partitionsMax)) break
      count++
    }
    return this.#waiting.splice(0, count)
  }

  /** Whether the transaction that begins now writes the group's offsets; else a later one is seen to. */
  #mirrors(): boolean {
    const dueMs = this.#mirroredAt + MIRROR_MS - performance.now()
    const mirrors = this.#mirrorNow || dueMs <= 0
    if (mirrors) {
      clearTimeout(this.#mirrorTimer)
      this.#mirrorTimer = undefined
      this.#mirrorNow = false
      this.#mirroredAt = performance.now()
    } else {
      this.#mirrorTimer ??= setTimeout(() => this.#mirror(), dueMs)
    }
    return mirrors
  }

  /** Brings the group's offsets up to the positions. */
  #mirror(): void {
    if (this.#mirrorTimer === undefined) return
    this.#mirrorNow = true
    this.#start()
  }

  /** Counted together: finding a counter's labels for each outcome would cost as much as deciding it. */
  #count(settlements: readonly Settlement[]): void {
    const { processor, sourceLabel } = this.#deps
    const counts = new Map<string, { source: string; outcome: Outcome['kind']; count: number }>()
    for (const { eventRecord, outcome, record } of settlements) {
      const source = eventRecord === null ? 'unreadable' : sourceLabel(eventRecord.event.source)
      const key = `${outcome.kind} ${source}`
      const entry = counts.get(key)
      if (entry === undefined) counts.set(key, { source, outcome: outcome.kind, count: 1 })
      else entry.count++
      if (outcome.kind === 'dead' && eventRecord === null) this.#warnOfPoison(record, outcome.failure)
    }
    for (const { source, outcome, count } of counts.values()) {
      metrics.outcomesTotal.inc({ processor, source, outcome }, count)
    }
  }

  #warnOfPoison({ topic, partition, offset }: FetchedRecord, { code, message }: Failure): void {
    const place = `${topic}/${partition}/${offset}`
    this.#deps.log.warn(
      { record: place, code, reason: message },
      'a record that cannot be read is in the dead letter',
    )
  }
}

/** What an outcome holds until it is settled: the record, whose next hop is the same bytes, and what was emitted. */
function settlementBytes({ record, outcome }: Settlement): number {
  let bytes = recordBytes(record)
  if (outcome.kind === 'processed') for (const output of outcome.outputs) bytes += outputBytes(output)
  return bytes
}

function settleSpan(parent: Span): Span {
  return startChild('settle', SpanKind.PRODUCER, contextOf(parent))
}
