/**
 * The outcomes of one task that wait to be settled: while one transaction is under way the next one gathers.
 *
 * Q1. Outcomes are settled in the order in which they were decided.
 * Q2. A position passes a record only in the transaction that settles it, or a later one.
 * Q3. After a failure nothing more is settled.
 */
import type { Log } from '@sallyport/core/log'
import * as metrics from '@sallyport/core/metrics'
import { contextOf, endFailed, type Span, SpanKind, startChild } from '@sallyport/core/trace'
import type { ClaimStore } from './claim-store.ts'
import type { Intake } from './poll.ts'
import type { Settlement, Settler } from './settle.ts'

export interface SettleQueueDependencies {
  readonly processor: string
  readonly settler: Settler
  readonly intake: Intake
  readonly claims: ClaimStore
  readonly log: Log
  /** The brokers' clock. */
  readonly now: () => number
  /** The source's name in metrics: a foreign producer must not grow them. */
  sourceLabel(source: string): string
  /** Outcomes have become true. */
  settled(): void
  failed(error: unknown): void
}

/** Outcomes in one transaction. */
const TRANSACTION_OUTCOMES_MAX = 2_000

export class SettleQueue {
  readonly #deps: SettleQueueDependencies
  #waiting: Settlement[] = []
  #refresh = false
  #settling: Promise<void> | undefined
  #closed = false

  constructor(deps: SettleQueueDependencies) {
    this.#deps = deps
  }

  /** Outcomes that are not yet in a transaction. */
  get length(): number {
    return this.#waiting.length
  }

  add(settlement: Settlement): void {
    this.#waiting.push(settlement)
    this.#start()
  }

  /** Writes PENDING claims and the positions again: they must not expire. */
  refresh(): void {
    this.#refresh = true
    this.#start()
  }

  /** Settles nothing more. */
  close(): void {
    this.#closed = true
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
    // What is decided in this turn of the event loop goes into one transaction.
    await new Promise(resolve => setImmediate(resolve))
    try {
      while (!this.#closed && (this.#waiting.length > 0 || this.#refresh)) await this.#settle()
    } catch (error) {
      this.#closed = true
      this.#deps.failed(error)
    } finally {
      this.#settling = undefined
    }
  }

  async #settle(): Promise<void> {
    const { intake, settler, claims, processor, now } = this.#deps
    const settlements = this.#waiting.splice(0, TRANSACTION_OUTCOMES_MAX)
    // Those that Kafka has (K1): written ahead of its retry record, a claim would make the event's own record a duplicate.
    const refreshed = this.#refresh ? [...claims.pending] : []
    this.#refresh = false
    for (const { record } of settlements) intake.input(record.topic).watermark.settle(record.offset)
    const positions = [...intake.inputs].map(({ spec, watermark }) => ({
      topic: spec.topic,
      offset: watermark.position,
    }))
    const startedAt = performance.now()
    const spans = settlements.flatMap(({ span }) => (span === null ? [] : [settleSpan(span), span]))
    try {
      await settler.settle(settlements, refreshed, positions)
    } catch (error) {
      for (const span of spans) endFailed(span, error)
      throw error
    }
    for (const span of spans) span.end()
    metrics.settleSeconds.observe({ processor }, (performance.now() - startedAt) / 1_000)
    for (const settlement of settlements) {
      const { eventRecord, claim } = settlement
      if (eventRecord !== null && claim !== null) claims.set(eventRecord.event.id, claim, now())
      this.#count(settlement)
    }
    this.#deps.settled()
  }

  #count({ eventRecord, outcome, record }: Settlement): void {
    const { processor, log, sourceLabel } = this.#deps
    const source = eventRecord === null ? 'unreadable' : sourceLabel(eventRecord.event.source)
    metrics.outcomesTotal.inc({ processor, source, outcome: outcome.kind })
    if (outcome.kind !== 'dead' || eventRecord !== null) return
    const { code, message } = outcome.failure
    const place = `${record.topic}/${record.partition}/${record.offset}`
    log.warn({ record: place, code, reason: message }, 'a record that cannot be read is in the dead letter')
  }
}

function settleSpan(parent: Span): Span {
  return startChild('settle', SpanKind.PRODUCER, contextOf(parent))
}
