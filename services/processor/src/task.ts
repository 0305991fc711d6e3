/**
 * A task owns partition p of a processor's topics: the main topic, the retry tiers, the redrive lane and the
 * claims. It reads down: poll → decode → claim → attempt → decide → settle.
 *
 *     acquiring ──barrier written──▶ restoring ──barrier read──▶ running ──drain()──▶ draining ──settled──▶ ended
 *         │                              │                          │                    │
 *         └──────────────────────────────┴───── error or drop() ────┴────────────────────┴──────────────▶ ended
 *
 * What must hold:
 * T1. Acquire the epoch (the barrier's transaction initialises the producer), then read the state, then process.
 *     Whoever acquires again reads again: a task is never restarted, a new one is made.
 * T2. One attempt at a time per event id: records of an id that is being attempted wait until it is decided.
 * T3. A claim is changed in memory when its outcome is decided and in Kafka with the outcome's transaction. If
 *     that fails the task ends, and its memory with it.
 * T4. After `ended` nothing is settled any more, and results of handlers that still run are discarded.
 * T5. Everything waiting has a bound: the intake's queues, the handlers (slots), the outcomes not yet settled.
 */
import { randomUUID } from 'node:crypto'
import type { AttemptRecord } from '@sallyport/core/attempt'
import { BrokerClock, type Clock } from '@sallyport/core/clock'
import { encodeWire } from '@sallyport/core/codec'
import { SallyportError } from '@sallyport/core/errors'
import { HEADER } from '@sallyport/core/headers'
import type { FetchedBatch, FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import { headerText } from '@sallyport/core/kafka/group-consumer'
import type { SchemaRegistry } from '@sallyport/core/kafka/registry'
import type { TaskProducer } from '@sallyport/core/kafka/task-producer'
import type { Log } from '@sallyport/core/log'
import * as metrics from '@sallyport/core/metrics'
import {
  contextFromHeader,
  contextOf,
  type Span,
  SpanKind,
  startChild,
  traceparentOf,
} from '@sallyport/core/trace'
import { type AttemptResult, runAttempt } from './attempt.ts'
import { type Claim, isFresh } from './claim.ts'
import { ClaimStore } from './claim-store.ts'
import { BARRIER_SCHEMA, type ProcessorConfig } from './config.ts'
import { decide, type Outcome } from './decide.ts'
import type { EventDecoder, EventRecord } from './decode.ts'
import { inputSpecs } from './inputs.ts'
import type { OutputEncoder } from './outputs.ts'
import { Input, Intake, type IntakeLimits } from './poll.ts'
import { BARRIER_KEY, Restore, type RestoreSchemas } from './restore.ts'
import { type Settlement, Settler } from './settle.ts'
import type { Slots } from './slots.ts'

/** What a task needs of its membership. */
export interface TaskDependencies {
  readonly processor: ProcessorConfig
  readonly limits: IntakeLimits
  readonly schemas: RestoreSchemas
  readonly registry: SchemaRegistry
  readonly decoder: EventDecoder
  readonly encoder: OutputEncoder
  readonly slots: Slots
  readonly log: Log
  readonly clock: Clock
  /** How long the claim of an event holds, ms. */
  windowMs(eventRecord: EventRecord): number
  /** The source's name in metrics: a foreign producer must not grow them. */
  sourceLabel(source: string): string
  /** How often what must not expire is written again, ms. */
  readonly refreshMs: number
  connectProducer(partition: number, clock: BrokerClock): Promise<TaskProducer>
  /** Where each input begins, given what the claims topic said. Called once this task is the owner. */
  resolvePositions(
    partition: number,
    restored: ReadonlyMap<string, number> | undefined,
  ): Promise<ReadonlyMap<string, number>>
  /** Offset of the first claim that is kept. */
  claimsStart(partition: number): Promise<number>
  readFrom(partition: number, positions: ReadonlyMap<string, number>): void
  pause(partition: number, topics: readonly string[]): void
  resume(partition: number, topics: readonly string[]): void
}

/** Why a task that was running ended by itself. */
class TaskFailed extends Error {
  constructor(cause: unknown) {
    super('the task failed', { cause })
  }
}

type State = 'acquiring' | 'restoring' | 'running' | 'draining' | 'ended'

/** Outcomes that may wait to be settled; more stop the intake. */
const UNSETTLED_MAX = 5_000
/** Outcomes in one transaction. */
const TRANSACTION_OUTCOMES_MAX = 2_000
/** A restore that brings nothing for this long has failed, ms. */
const RESTORE_STALL_MS = 60_000
/** How long an input waits before it asks again for a schema that could not be had, ms. */
const SCHEMA_RETRY_MS = 1_000
const TIMER_MS_MAX = 2_000_000_000

export class Task {
  readonly partition: number
  readonly #deps: TaskDependencies
  readonly #log: Log
  readonly #abort = new AbortController()
  readonly #clock: BrokerClock
  readonly #claims = new ClaimStore()
  readonly #failed = Promise.withResolvers<never>()
  readonly #unwound = Promise.withResolvers<void>()
  /** Ids that are being attempted, with the records that wait for the result (T2). */
  readonly #attempting = new Map<string, FetchedRecord[]>()
  readonly #wake = (): void => this.#pump()
  /** Records in `#attempting`. */
  #waiting = 0
  #state: State = 'acquiring'
  #restore: Restore | undefined
  #intake: Intake | undefined
  #producer: TaskProducer | undefined
  #settler: Settler | undefined
  #unsettled: Settlement[] = []
  #refreshDue = false
  #settling: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #refreshTimer: NodeJS.Timeout | undefined

  constructor(partition: number, deps: TaskDependencies) {
    this.partition = partition
    this.#deps = deps
    this.#log = deps.log.child({ partition })
    this.#clock = new BrokerClock(deps.clock)
    this.#failed.promise.catch(() => {})
  }

  /** Acquires, restores and then processes until `drop` or `drain`. Rejects when it cannot go on. */
  async run(): Promise<void> {
    try {
      const producer = await this.#deps.connectProducer(this.partition, this.#clock)
      this.#producer = producer
      if (this.#state !== 'ended') {
        const nonce = await this.#acquire(producer)
        const restored = await this.#restoreTo(nonce)
        await this.#begin(producer, restored)
        await this.#failed.promise
      }
    } catch (error) {
      if (this.#is('ended') && !(error instanceof TaskFailed)) return
      this.drop()
      throw error instanceof TaskFailed ? error.cause : error
    } finally {
      await this.#settling
      await this.#producer?.close()
      this.#unwound.resolve()
    }
  }

  /** Resolves once nothing of this task touches Kafka any more: its successor may acquire the partition. */
  get unwound(): Promise<void> {
    return this.#unwound.promise
  }

  /** Takes a batch of one of this partition's topics over. */
  offer(batch: FetchedBatch): boolean {
    if (this.#state === 'ended') return false
    if (batch.topic === this.#deps.processor.topics.claims) {
      if (this.#restore === undefined) return false
      this.#restore.offer(batch)
      return true
    }
    if (this.#intake === undefined || !this.#intake.offer(batch)) return false
    this.#pump()
    return true
  }

  /** Takes no more, waits for the handlers until `deadlineMs` has passed, settles what is decided, and ends. */
  async drain(deadlineMs: number): Promise<void> {
    if (this.#state === 'running') {
      this.#state = 'draining'
      const deadline = setTimeout(() => this.#abort.abort(new Error('the processor stops')), deadlineMs)
      try {
        while (this.#attempting.size > 0 || this.#unsettled.length > 0 || this.#settling !== undefined) {
          await Promise.race([
            this.#settling ?? new Promise(resolve => setTimeout(resolve, 5)),
            this.#failed.promise,
          ])
        }
      } catch {
        // The failure is the membership's to report; what was not settled will be read again.
      } finally {
        clearTimeout(deadline)
      }
    }
    this.drop()
  }

  /** Ends at once: what is not settled will be read again by the next owner (T4). */
  drop(why: Error = new Error('the task has ended')): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#failed.reject(why)
    clearTimeout(this.#timer)
    clearInterval(this.#refreshTimer)
    this.#deps.slots.forget(this.#wake)
    this.#abort.abort(why)
    metrics.claimsHeld.remove(this.#labels())
  }

  // Acquire and restore (T1).

  async #acquire(producer: TaskProducer): Promise<string> {
    const nonce = randomUUID()
    const value = encodeWire(this.#deps.schemas.barrier, BARRIER_SCHEMA.type, { nonce })
    await producer.transact(
      {
        topic: this.#deps.processor.topics.claims,
        partition: this.partition,
        records: [{ key: Buffer.from(BARRIER_KEY), value }],
      },
      [],
      [],
    )
    return nonce
  }

  async #restoreTo(nonce: string): Promise<ReadonlyMap<string, number> | undefined> {
    if (this.#is('ended')) throw new Error('the task has ended')
    this.#state = 'restoring'
    const { claims } = this.#deps.processor.topics
    const start = await this.#deps.claimsStart(this.partition)
    const restore = new Restore(this.#claims, nonce, this.#deps.schemas, this.#deps.registry)
    this.#restore = restore
    this.#deps.readFrom(this.partition, new Map([[claims, start]]))
    const startedAt = this.#deps.clock()
    const restored = await withStallCheck(restore, this.#abort.signal)
    this.#deps.pause(this.partition, [claims])
    this.#restore = undefined
    this.#log.debug(
      { records: restore.records, claims: this.#claims.size, ms: this.#deps.clock() - startedAt },
      'restored',
    )
    return restored
  }

  async #begin(producer: TaskProducer, restored: ReadonlyMap<string, number> | undefined): Promise<void> {
    const { processor, limits, schemas, refreshMs } = this.#deps
    const positions = await this.#deps.resolvePositions(this.partition, restored)
    if (this.#is('ended')) throw new Error('the task has ended')
    const inputs = inputSpecs(processor).map(spec => new Input(spec, positions.get(spec.topic) as number))
    this.#intake = new Intake(inputs, limits, {
      pause: topic => this.#deps.pause(this.partition, [topic]),
      resume: topic => this.#deps.resume(this.partition, [topic]),
    })
    this.#settler = new Settler(processor, this.partition, producer, schemas)
    this.#state = 'running'
    this.#refreshTimer = setInterval(() => this.#refresh(), Math.min(refreshMs, TIMER_MS_MAX))
    // From here on the claims topic says where this partition stands, whatever becomes of the group's offsets.
    this.#refresh()
    this.#deps.readFrom(this.partition, positions)
  }

  // Process.

  /** Takes records for as long as there are due ones, free slots, and room for outcomes (T5). */
  #pump(): void {
    const intake = this.#intake
    if (intake === undefined || this.#state !== 'running') return
    while (this.#unsettled.length < UNSETTLED_MAX && this.#waiting < this.#deps.limits.queueRecordsMax) {
      const now = this.#clock.now()
      if (!this.#deps.slots.take(this.#wake)) return
      const record = intake.next(now)
      if (record === undefined) {
        this.#deps.slots.give()
        this.#wakeAt(intake.nextDueAt(now), now)
        return
      }
      this.#consider(record)
    }
  }

  /** Decodes and checks a record while holding a slot; gives the slot back unless an attempt begins. */
  #consider(record: FetchedRecord): void {
    const decoded = this.#deps.decoder.decode(record)
    switch (decoded.kind) {
      case 'unknown-schema':
        this.#intake?.block(record)
        void this.#learn(record.topic, decoded.schemaId)
        break
      case 'poison': {
        const outcome: Outcome = { kind: 'dead', reason: 'poison', failure: decoded.failure }
        this.#decided({
          record,
          eventRecord: null,
          outcome,
          attempt: null,
          claim: null,
          traceparent: undefined,
        })
        break
      }
      case 'event':
        if (this.#admit(decoded.eventRecord)) return
        break
    }
    this.#deps.slots.give()
  }

  /** Stage 6. True when an attempt has begun. */
  #admit(eventRecord: EventRecord): boolean {
    const { event, record, round } = eventRecord
    const { processor } = this.#deps
    const waiting = this.#attempting.get(event.id)
    if (waiting !== undefined) {
      waiting.push(record)
      this.#waiting++
      return false
    }
    const ignored = processor.sources !== null && !processor.sources.has(event.source)
    const claim = this.#claims.get(event.id, this.#clock.now())
    const { kind } = (this.#intake as Intake).input(record.topic).spec
    if (ignored || !isFresh(kind, round, claim)) {
      const outcome: Outcome = { kind: ignored ? 'ignored' : 'duplicate' }
      this.#decided({ record, eventRecord, outcome, attempt: null, claim: null, traceparent: undefined })
      return false
    }
    this.#attempting.set(event.id, [])
    void this.#attempt(eventRecord)
    return true
  }

  /** Stages 7 and 8. */
  async #attempt(eventRecord: EventRecord): Promise<void> {
    const { event, record, round, history } = eventRecord
    const { processor, encoder, slots } = this.#deps
    const parent = contextFromHeader(headerText(record.headers, HEADER.traceparent))
    const span = startChild(
      `process ${processor.name}`,
      SpanKind.CONSUMER,
      parent,
      spanAttributes(eventRecord),
    )
    const attemptSpan = startChild(`attempt ${round.attempt}`, SpanKind.INTERNAL, contextOf(span))
    const startedAt = this.#deps.clock()
    const log = this.#log.child({ event: event.id, attempt: round.attempt })
    const result = await runAttempt(processor, encoder, {
      event,
      round,
      span: attemptSpan,
      taskSignal: this.#abort.signal,
      log,
    })
    attemptSpan.end()
    const durationMs = this.#deps.clock() - startedAt
    metrics.attemptSeconds.observe({ processor: processor.name }, durationMs / 1_000)
    const waiting = this.#attempting.get(event.id) ?? []
    this.#attempting.delete(event.id)
    this.#waiting -= waiting.length
    if (result.kind !== 'abandoned' && (this.#state === 'running' || this.#state === 'draining')) {
      const outcome = decide(result, round, processor.delaysMs)
      const attempt = attemptRecord(result, round.attempt, startedAt, durationMs)
      const claim = this.#claimAfter(eventRecord, outcome)
      if (claim !== null) this.#claims.set(event.id, claim)
      logOutcome(log, outcome, {
        durationMs,
        attempts: processor.delaysMs.length + 1,
        attemptsMade: history.length + 1,
      })
      this.#decided({ record, eventRecord, outcome, attempt, claim, traceparent: traceparent(span) })
      // Waiting records of a draining task are read again by the next owner.
      for (const record of waiting) this.#reconsider(record)
    }
    span.end()
    slots.give()
    this.#pump()
  }

  /** A record that waited for another one of its event id (T2). */
  #reconsider(record: FetchedRecord): void {
    if (this.#state !== 'running') return
    if (this.#deps.slots.take(() => this.#reconsider(record))) this.#consider(record)
  }

  #claimAfter(eventRecord: EventRecord, outcome: Outcome): Claim | null {
    const { generation, attempt } = eventRecord.round
    const common = { generation, windowMs: this.#deps.windowMs(eventRecord), at: this.#clock.now() }
    switch (outcome.kind) {
      case 'processed':
        return { ...common, state: 'DONE', attempt }
      case 'dead':
        return { ...common, state: 'DEAD', attempt }
      case 'retry':
        return { ...common, state: 'PENDING', attempt: attempt + 1 }
      case 'duplicate':
      case 'ignored':
        return null
    }
  }

  /** Asks for an unknown schema; the input waits meanwhile, because a registry that is away makes nothing poison. */
  async #learn(topic: string, schemaId: number): Promise<void> {
    try {
      await this.#deps.decoder.learn(schemaId)
    } catch (error) {
      this.#log.warn({ topic, schemaId, error: String(error) }, 'a schema cannot be had; asking again')
      await new Promise(resolve => setTimeout(resolve, SCHEMA_RETRY_MS))
    }
    this.#intake?.unblock(topic)
    this.#pump()
  }

  #wakeAt(dueAt: number | undefined, now: number): void {
    clearTimeout(this.#timer)
    if (dueAt === undefined) return
    this.#timer = setTimeout(this.#wake, Math.min(Math.max(1, Math.ceil(dueAt - now)), TIMER_MS_MAX))
  }

  // Settle.

  #decided(settlement: Settlement): void {
    this.#unsettled.push(settlement)
    this.#settleSoon()
  }

  /** PENDING claims and the positions must not expire: they are written again well within the window. */
  #refresh(): void {
    this.#claims.sweep(this.#clock.now())
    this.#refreshDue = true
    this.#settleSoon()
  }

  #settleSoon(): void {
    if (this.#settling !== undefined) return
    this.#settling = new Promise<void>(resolve => setImmediate(resolve))
      .then(() => this.#settleAll())
      .then(
        () => {
          this.#settling = undefined
        },
        (error: unknown) => {
          this.#settling = undefined
          if (this.#state === 'ended') return
          this.drop(new TaskFailed(error))
        },
      )
  }

  async #settleAll(): Promise<void> {
    while ((this.#unsettled.length > 0 || this.#refreshDue) && this.#state !== 'ended') {
      const settlements = this.#unsettled.splice(0, TRANSACTION_OUTCOMES_MAX)
      const refreshed = this.#refreshDue ? [...this.#claims.pending()] : []
      this.#refreshDue = false
      const intake = this.#intake as Intake
      for (const { record } of settlements) intake.input(record.topic).watermark.settle(record.offset)
      const positions = [...intake.inputs].map(({ spec, watermark }) => ({
        topic: spec.topic,
        offset: watermark.position,
      }))
      const startedAt = performance.now()
      await (this.#settler as Settler).settle(settlements, refreshed, positions)
      this.#count(settlements, performance.now() - startedAt)
      this.#pump()
    }
  }

  #count(settlements: readonly Settlement[], durationMs: number): void {
    const processor = this.#deps.processor.name
    metrics.settleSeconds.observe({ processor }, durationMs / 1_000)
    metrics.claimsHeld.set(this.#labels(), this.#claims.size)
    for (const { eventRecord, outcome } of settlements) {
      const source = eventRecord === null ? 'unreadable' : this.#deps.sourceLabel(eventRecord.event.source)
      metrics.outcomesTotal.inc({ processor, source, outcome: outcome.kind })
      if (outcome.kind === 'dead' && eventRecord === null) {
        this.#log.warn(
          { code: outcome.failure.code, reason: outcome.failure.message },
          'a record that cannot be read is in the dead letter',
        )
      }
    }
  }

  #labels(): { processor: string; partition: string } {
    return { processor: this.#deps.processor.name, partition: String(this.partition) }
  }

  /** The state, unnarrowed: it changes across an await. */
  #is(state: State): boolean {
    return this.#state === state
  }
}

async function withStallCheck(
  restore: Restore,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number> | undefined> {
  let seen = -1
  let timer: NodeJS.Timeout | undefined
  const stalled = new Promise<never>((_, reject) => {
    timer = setInterval(() => {
      if (restore.records === seen) {
        reject(
          new SallyportError(
            'SP_RESTORE',
            `the claims topic brought nothing for ${RESTORE_STALL_MS / 1_000} s; the processor starts again`,
          ),
        )
      }
      seen = restore.records
    }, RESTORE_STALL_MS)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
  try {
    return await Promise.race([restore.done, stalled])
  } finally {
    clearInterval(timer)
  }
}

function spanAttributes({ event, record, round }: EventRecord): Record<string, string | number> {
  return {
    'messaging.system': 'kafka',
    'messaging.destination.name': record.topic,
    'messaging.destination.partition.id': String(record.partition),
    'messaging.kafka.offset': record.offset,
    'sallyport.event.id': event.id,
    'sallyport.source': event.source,
    'sallyport.attempt': round.attempt,
  }
}

function traceparent(span: Span): string | undefined {
  return span.spanContext().traceId === '00000000000000000000000000000000' ? undefined : traceparentOf(span)
}

function attemptRecord(
  result: AttemptResult,
  attempt: number,
  startedAt: number,
  durationMs: number,
): AttemptRecord | null {
  if (result.kind !== 'failed') return null
  return { attempt, startedAt, durationMs, code: result.failure.code, message: result.failure.message }
}

function logOutcome(
  log: Log,
  outcome: Outcome,
  facts: { durationMs: number; attempts: number; attemptsMade: number },
): void {
  switch (outcome.kind) {
    case 'retry':
      log.info(
        { ...facts, tier: outcome.tier + 1, code: outcome.failure.code, reason: outcome.failure.message },
        'retry',
      )
      return
    case 'dead':
      log.warn(
        { ...facts, because: outcome.reason, code: outcome.failure.code, reason: outcome.failure.message },
        'dead letter',
      )
      return
    default:
      log.debug(facts, outcome.kind)
  }
}
