/**
 * A task owns partition p of a processor's topics: the main topic, the retry tiers, the redrive lane and the
 * claims. It reads down: poll → decode → claim → attempt → decide → settle.
 *
 *     acquiring ──state read──▶ running ──drain()──▶ draining ──settled──▶ ended
 *         │                        │                    │
 *         └─────────────── error or drop() ─────────────┴────────────────▶ ended
 *
 * What must hold:
 * T1. Acquire the epoch, then read the state, then process (acquisition.ts). Whoever acquires again reads again: a
 *     task is never restarted, a new one is made.
 * T2. One attempt at a time per event id: records of an id that is being attempted wait until it is decided.
 * T3. A claim is changed in memory when its outcome is decided and in Kafka with the outcome's transaction. If
 *     that fails the task ends, and its memory with it.
 * T4. After `ended` nothing is settled any more, and results of handlers that still run are discarded.
 * T5. Everything waiting has a bound, in records and in bytes: the intake's queues, the handlers (slots), the records of
 *     ids that are being attempted, the outcomes not yet settled (K4–K6 of memory.ts), what one transaction writes
 *     (transaction-size.ts).
 */
import type { BrokerClock, Clock } from '@sallyport/core/clock'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { HEADER } from '@sallyport/core/headers'
import { type FetchedBatch, type FetchedRecord, headerText } from '@sallyport/core/kafka/group-consumer'
import type { TaskProducer } from '@sallyport/core/kafka/task-producer'
import type { Log } from '@sallyport/core/log'
import * as metrics from '@sallyport/core/metrics'
import { contextFromHeader, contextOf, SpanKind, startChild } from '@sallyport/core/trace'
import { type AcquiredState, Acquisition, type AcquisitionDependencies } from './acquisition.ts'
import { type AttemptInput, type AttemptResult, Attempts } from './attempt.ts'
import { attemptRecord, logOutcome, spanAttributes, verdictOf } from './attempt-report.ts'
import { AttemptedIds } from './attempted-ids.ts'
import type { Watched } from './breaker.ts'
import { Checkpointer } from './checkpointer.ts'
import { type Claim, isFresh } from './claim.ts'
import { type ClaimStore, SEGMENTS } from './claim-store.ts'
import { type InputStanding, type LostRange, withLost } from './claims-record.ts'
import type { ProcessorConfig } from './config.ts'
import { claimAfter, crashesIn, decide, type Outcome } from './decide.ts'
import type { EventDecoder, EventRecord } from './decode.ts'
import type { Failure } from './failure.ts'
import type { InputSpec } from './inputs.ts'
import type { InputProgress } from './lag.ts'
import { LogWatch } from './log-watch.ts'
import type { ProcessMemory, TaskMemory } from './memory.ts'
import { OrphanWatch } from './orphans.ts'
import { type OutputEncoder, outputBytes } from './outputs.ts'
import { Input, type InputStart, Intake, type IntakeLimits, recordBytes } from './poll.ts'
import { remadeError } from './positions.ts'
import { PROCESS_ID } from './process-id.ts'
import type { Quarantine } from './quarantine.ts'
import type { RestoredPositions } from './restore.ts'
import type { Admission } from './runtime.ts'
import { SetAside } from './set-aside.ts'
import { Settler } from './settle.ts'
import { SettleQueue } from './settle-queue.ts'
import type { TaskSlots } from './slots.ts'

/** What a task needs of its membership. */
export interface TaskDependencies extends AcquisitionDependencies {
  readonly processor: ProcessorConfig
  readonly inputs: readonly InputSpec[]
  readonly limits: IntakeLimits
  readonly memory: ProcessMemory
  readonly decoder: EventDecoder
  readonly encoder: OutputEncoder
  readonly admission: Admission
  /** Where attempts run that may have ended a process; undefined where they run here. */
  readonly quarantine: Quarantine | undefined
  /** Whether a process is in the group now. */
  isMember(process: string): Promise<boolean>
  readonly log: Log
  readonly clock: Clock
  /** How long the claim of an event holds, ms. */
  windowMs(eventRecord: EventRecord): number
  /** The shortest that the settings name, ms. */
  readonly shortestWindowMs: number
  /** The source's name in metrics. */
  sourceLabel(source: string): string
  /** How often what must not expire is written again, ms. */
  readonly refreshMs: number
  /** How old its checkpoint gets, ms. */
  readonly checkpointIntervalMs: number
  openProducer(partition: number, clock: BrokerClock): Promise<TaskProducer>
  /** Where each input begins, given what the claims topic said. Called once this task is the owner. */
  resolvePositions(
    partition: number,
    restored: RestoredPositions | undefined,
    now: number,
  ): Promise<ReadonlyMap<string, InputStart>>
  /** One past the last record of a leader's epoch in an input; undefined where the leader does not say. */
  epochEnd(partition: number, topic: string, epoch: number): Promise<number | undefined>
  /** Where the tiers end now; undefined where there is one that is no input. */
  tierEnds(partition: number): Promise<ReadonlyMap<string, number> | undefined>
  /** Where an input goes on that has no record at its position: behind what expired, which is said. */
  keptFrom(partition: number, topic: string, position: number): Promise<number>
  resume(partition: number, topics: readonly string[]): void
}

type State = 'acquiring' | 'running' | 'draining' | 'ended'

/** What a task that runs works with. */
interface Workplace {
  readonly claims: ClaimStore
  readonly intake: Intake
  readonly queue: SettleQueue
  readonly attempts: Attempts
  readonly epoch: number
}

/** How long an input waits before it asks again for a schema that could not be had, ms. */
const SCHEMA_RETRY_MS = 1_000
const DRAIN_POLL_MS = 5
/** Attempts in quarantine for each that the last owner may have had under way: what was decided is not yet settled. */
const SUSPECTS_PER_SLOT = 2
/** How often a segment of the claims is swept: never more and never less often than this, ms. */
const SWEEP_MS_MIN = 50
const SWEEP_MS_MAX = 5_000
const TIMER_MS_MAX = 2_000_000_000
/** What was decided longer ago than this is in Kafka, or its task has ended, ms: a transaction is aborted long before. */
const SETTLING_MS = 15 * 60_000
/** Events that one line of the log names. */
const NAMED_MAX = 10
/** The clocks of brokers are never quite alike, ms. */
const CLOCKS_APART_MS = 60_000

/** Why a task that was running ended by itself. */
class TaskFailed extends Error {
  constructor(cause: unknown) {
    super('the task failed', { cause })
  }
}

export class Task {
  readonly partition: number
  readonly #deps: TaskDependencies
  readonly #log: Log
  readonly #abort = new AbortController()
  readonly #clock: BrokerClock
  readonly #acquisition: Acquisition
  readonly #over = Promise.withResolvers<never>()
  readonly #unwound = Promise.withResolvers<void>()
  readonly #attempted = new AttemptedIds()
  readonly #logWatch: LogWatch
  /** The shortest that an event had which came by, ms. */
  #shortestWindowMs: number
  readonly #wake = (): void => this.#pump()
  readonly #slots: TaskSlots
  readonly #memory: TaskMemory
  #state: State = 'acquiring'
  #begunAt: number | undefined
  #failure: TaskFailed | undefined
  /** How many attempts are still to be made in quarantine. */
  #suspects = 0
  #producer: TaskProducer | undefined
  #checkpointer: Checkpointer | undefined
  #workplace: Workplace | undefined
  #orphans: OrphanWatch | undefined
  #noteLost: (range: LostRange) => void = () => {}
  /** When a transaction was asked for that only tells the time, by `performance.now()`. */
  #askedAt = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #refreshTimer: NodeJS.Timeout | undefined
  #sweepTimer: NodeJS.Timeout | undefined

  constructor(partition: number, deps: TaskDependencies) {
    this.partition = partition
    this.#deps = deps
    this.#log = deps.log.child({ partition })
    this.#clock = deps.brokerClock
    this.#shortestWindowMs = deps.shortestWindowMs
    this.#slots = deps.admission.slots.join(this.#wake)
    this.#memory = deps.memory.join(deps.inputs.length)
    this.#logWatch = new LogWatch({
      epochEnd: (topic, epoch) => deps.epochEnd(partition, topic, epoch),
      remade: (topic, end) => this.drop(new TaskFailed(remadeError(topic, partition, end))),
    })
    this.#acquisition = new Acquisition(partition, deps, this.#abort.signal)
    this.#over.promise.catch(() => {})
  }

  /** Acquires, restores and then processes until `drop` or `drain`. Rejects when it cannot go on. */
  async run(): Promise<void> {
    try {
      this.#producer = await this.#deps.openProducer(this.partition, this.#clock)
      this.#abort.signal.throwIfAborted()
      const startedAt = this.#deps.clock()
      const state = await this.#acquisition.run(this.#producer)
      const positions = await this.#deps.resolvePositions(this.partition, state.positions, this.#clock.now())
      this.#abort.signal.throwIfAborted()
      const facts = {
        records: state.recordsRead,
        fromCheckpoint: state.checkpoint?.savedOffset,
        claims: state.claims.size,
        claimsBytes: state.claims.bytes,
        ms: this.#deps.clock() - startedAt,
      }
      if (await this.#isCrashed(state.predecessor)) this.#suspectFirst(state.predecessor)
      this.#log.debug(facts, 'acquired')
      this.#abort.signal.throwIfAborted()
      this.#begin(this.#producer, state, positions)
      await this.#over.promise
    } catch (error) {
      if (this.#state === 'ended' && !(error instanceof TaskFailed)) return
      this.drop()
      throw error instanceof TaskFailed ? error.cause : error
    } finally {
      await this.#workplace?.queue.idle()
      await this.#producer?.close()
      this.#unwound.resolve()
    }
  }

  /** Whether the last owner is a process that went without draining: one that lives has only lost the partition. */
  async #isCrashed(predecessor: string): Promise<boolean> {
    if (predecessor === '' || predecessor === PROCESS_ID) return false
    try {
      return !(await this.#deps.isMember(predecessor))
    } catch {
      // A suspicion charges nobody.
      return true
    }
  }

  /**
   * What ended the last owner, if it was a handler, is among what it had under way: the first that are not settled, and
   * what was decided just before. Where it is not, what is settled meanwhile brings it nearer for the next owner.
   */
  #suspectFirst(predecessor: string): void {
    if (this.#deps.quarantine === undefined) return
    this.#suspects = this.#deps.processor.concurrency * SUSPECTS_PER_SLOT
    this.#log.info(
      { predecessor, attempts: this.#suspects },
      'the last owner ended without draining: the first attempts are made in a process of their own',
    )
  }

  /** Resolves once nothing of this task touches Kafka any more: its successor may acquire the partition. */
  get unwound(): Promise<void> {
    return this.#unwound.promise
  }

  /** Takes what it has room for of a batch of one of this partition's topics over; see `GroupListener.fetched`. */
  offer(batch: FetchedBatch): number | undefined {
    if (this.#state === 'ended') return undefined
    if (batch.topic === this.#deps.processor.topics.claims) {
      return this.#acquisition.offer(batch) ? batch.nextOffset : undefined
    }
    const intake = this.#workplace?.intake
    batch = this.#writtenByNow(batch)
    if (intake?.isRemade(batch)) {
      this.drop(new TaskFailed(remadeError(batch.topic, batch.partition, batch.highWatermark)))
      return undefined
    }
    const next = intake?.offer(batch)
    if (intake === undefined || next === undefined) return undefined
    this.#logWatch.took(intake.input(batch.topic), batch, next)
    this.#pump()
    return next
  }

  /** Nothing was written after now: a leader whose clock is ahead must not have its records wait for as long. */
  #writtenByNow(batch: FetchedBatch): FetchedBatch {
    const now = this.#clock.now()
    if (batch.records.every(({ timestamp }) => timestamp - now < CLOCKS_APART_MS)) return batch
    const records = batch.records.map(record => ({ ...record, timestamp: Math.min(record.timestamp, now) }))
    return { ...batch, records }
  }

  /** Markers and aborted records lie from one offset of an input up to another. */
  passed(topic: string, from: number, next: number): void {
    if (this.#state !== 'ended') this.#workplace?.intake.pass(topic, from, next)
  }

  /** The broker has no record where a topic is read: records expired, or the topic is another one than it was. */
  outOfRange(topic: string): void {
    this.#readBehindExpired(topic).catch(error => this.drop(new TaskFailed(error)))
  }

  async #readBehindExpired(topic: string): Promise<void> {
    const intake = this.#workplace?.intake
    if (intake === undefined || topic === this.#deps.processor.topics.claims) {
      throw new SallyportError('SP_RESTORE', `${topic}/${this.partition} expired while it was read`, {
        retryable: true,
      })
    }
    const { next } = intake.input(topic).watermark
    const kept = await this.#deps.keptFrom(this.partition, topic, next)
    if (this.#state === 'ended') return
    intake.pass(topic, next, kept)
    if (topic === this.#deps.processor.topics.redrive && next < kept)
      this.#noteLost({ from: next, until: kept, at: this.#clock.now() })
    this.#lookForOrphans(SETTLING_MS)
    this.#deps.readFrom(this.partition, new Map([[topic, kept]]))
    if (intake.input(topic).paused) this.#deps.pause(this.partition, [topic])
  }

  /** Whether it still acquires its partition: a restore that moves begins anew elsewhere. */
  get isAcquiring(): boolean {
    return this.#state === 'acquiring'
  }

  /** Whether it has acquired its partition, and processes. */
  get hasAcquired(): boolean {
    return this.#state === 'running' || this.#state === 'draining'
  }

  /** Where it stands in its inputs; nothing while it does not run. */
  get progress(): InputProgress[] {
    return this.#state === 'running' ? this.lastProgress : []
  }

  /** Where it stands, or stood when it ended; nothing if it never ran. */
  get lastProgress(): InputProgress[] {
    return [...(this.#workplace?.intake.inputs ?? [])].map(({ spec, watermark: { position, oldestAt } }) => ({
      spec,
      partition: this.partition,
      position,
      oldestAt,
      now: this.#clock.now(),
      windowMs: this.#shortestWindowMs,
    }))
  }

  /** How long it has run, ms; undefined where it has not acquired its partition. */
  get ranMs(): number | undefined {
    return this.#begunAt === undefined ? undefined : this.#deps.clock() - this.#begunAt
  }

  /** After a new assignment, in which the consumer forgot where it was: reads on behind what was taken. */
  readOn(): void {
    if (this.#state === 'acquiring') this.#acquisition.readOn()
    const intake = this.#workplace?.intake
    if (this.#state !== 'running' || intake === undefined) return
    this.#deps.close(this.partition, [this.#deps.claimsTopic])
    const inputs = [...intake.inputs]
    this.#deps.readFrom(
      this.partition,
      new Map(inputs.map(({ spec, watermark }) => [spec.topic, watermark.next])),
    )
    const full = inputs.filter(({ paused }) => paused).map(({ spec }) => spec.topic)
    if (full.length > 0) this.#deps.pause(this.partition, full)
  }

  /**
   * Takes no more, waits for the handlers until `deadlineMs` has passed, settles what is decided, and ends. Rejects when
   * something could not be settled.
   */
  async drain(deadlineMs: number): Promise<void> {
    const queue = this.#workplace?.queue
    if (this.#state === 'running' && queue !== undefined) {
      this.#state = 'draining'
      const deadline = setTimeout(() => this.#abort.abort(new Error('the processor stops')), deadlineMs)
      while (this.#isDraining() && (!this.#attempted.isEmpty || queue.length > 0)) {
        await new Promise(resolve => setTimeout(resolve, DRAIN_POLL_MS))
      }
      clearTimeout(deadline)
      await queue.finish()
      if (this.#failure !== undefined) throw this.#failure.cause
    }
    this.drop()
  }

  /** Ends at once: what is not settled will be read again by the next owner (T4). */
  drop(why: Error = new Error('the task has ended')): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    if (why instanceof TaskFailed) this.#failure = why
    this.#over.reject(why)
    clearTimeout(this.#timer)
    clearInterval(this.#refreshTimer)
    clearInterval(this.#sweepTimer)
    this.#workplace?.queue.close()
    this.#slots.leave()
    this.#memory.leave()
    this.#deps.admission.gate.forget(this.#wake)
    this.#abort.abort(why)
    this.#checkpointer?.close()
    this.#acquisition.close()
    metrics.claimsHeld.remove(this.#labels())
    metrics.claimsBytes.remove(this.#labels())
  }

  #begin(producer: TaskProducer, state: AcquiredState, starts: ReadonlyMap<string, InputStart>): void {
    const { processor, limits, schemas, log, sourceLabel, refreshMs, checkpointIntervalMs, clock } =
      this.#deps
    const { claims, checkpoint } = state
    const checkpointer =
      checkpoint && new Checkpointer(checkpoint, claims, checkpointIntervalMs, clock, this.#log)
    this.#checkpointer = checkpointer
    const restored = [...(state.positions?.offsets ?? [])]
    const lane = processor.topics.redrive
    let foreign: readonly InputStanding[] = restored
      .filter(([topic]) => !starts.has(topic))
      .map(([topic, offset]) => ({ topic, offset, log: state.positions?.logs.get(topic) }))
    this.#noteLost = range => {
      foreign = withLost(foreign, lane, range)
    }
    const [was, is] = [state.positions?.offsets.get(lane), starts.get(lane)?.offset]
    if (was !== undefined && is !== undefined && was < is)
      this.#noteLost({ from: was, until: is, at: this.#clock.now() })
    const inputs = this.#deps.inputs.map(spec => new Input(spec, starts.get(spec.topic) as InputStart))
    const memory = this.#memory
    const intake = new Intake(inputs, limits, memory, {
      pause: topic => this.#deps.pause(this.partition, [topic]),
      resume: topic => this.#deps.resume(this.partition, [topic]),
    })
    const queue = new SettleQueue({
      processor: processor.name,
      settler: new Settler(processor, this.partition, producer, schemas, () => foreign),
      intake,
      claims,
      size: this.#deps.admission.sizes.of(this.partition),
      bytesMax: () => Math.min(limits.queueBytesMax, memory.outcomesMax),
      log,
      now: () => this.#clock.now(),
      sourceLabel,
      settled: ({ offset, positions, at, hasLeft }) => {
        // A transaction that was under way when the partition was lost: whoever has it now reports it.
        if (this.#state === 'ended') return
        checkpointer?.settled({ offset, positions: [...foreign, ...positions], at, hasLeft })
        metrics.claimsHeld.set(this.#labels(), claims.size)
        metrics.claimsBytes.set(this.#labels(), claims.bytes)
        this.#pump()
      },
      failed: error => this.drop(new TaskFailed(error)),
    })
    const attempts = new Attempts(processor, this.#deps.encoder, state.epoch, this.#abort.signal)
    this.#workplace = { claims, intake, queue, attempts, epoch: state.epoch }
    const orphans = new OrphanWatch({
      pending: claims.pending,
      tierEnds: () => this.#deps.tierEnds(this.partition),
      position: topic => intake.input(topic).watermark.position,
      now: () => this.#clock.now(),
      found: found => {
        this.#sayOrphans(found)
        queue.letGo(found)
      },
    })
    this.#orphans = orphans
    this.#lookForOrphans(0)
    checkpointer?.load().catch(error => this.drop(new TaskFailed(error)))
    const aside = new SetAside({
      ...this.#deps,
      intake,
      claims,
      queue,
      attempted: this.#attempted,
      log: this.#log,
      unwanted: eventRecord => this.#unwanted(eventRecord, intake, claims),
    })
    this.#state = 'running'
    this.#begunAt = clock()
    this.#refreshTimer = setInterval(
      () => {
        queue.refresh()
        this.#lookForOrphans(SETTLING_MS)
      },
      Math.min(refreshMs, TIMER_MS_MAX),
    )
    this.#sweepTimer = setInterval(
      () => {
        claims.sweepNext(this.#clock.now())
        orphans.check()
        this.#askForTime(queue)
        if (this.#state === 'running') aside.look(this.#clock.now(), this.#shortestWindowMs)
        this.#pump()
      },
      Math.min(Math.max(refreshMs / SEGMENTS, SWEEP_MS_MIN), SWEEP_MS_MAX),
    )
    // From here on the claims topic says where this partition stands, whatever becomes of the group's offsets.
    queue.refresh()
    this.#deps.readFrom(this.partition, new Map([...starts].map(([topic, { offset }]) => [topic, offset])))
  }

  #lookForOrphans(settlingMs: number): void {
    this.#orphans?.look(settlingMs).catch((error: unknown) => {
      this.#log.debug({ error: errorMessage(error) }, 'where the tiers end is not known; asking again later')
    })
  }

  #sayOrphans(found: readonly (readonly [eventId: string, claim: Claim])[]): void {
    const { name } = this.#deps.processor
    const error = new SallyportError(
      'SP_CLAIM_ORPHANED',
      `${found.length} events of ${name} waited for a retry that is in no tier any more: its records expired, or the tier was deleted; their ids are let go. Replay what is still in sallyport.events: sallyport replay --processor ${name}`,
    )
    const ids = found.slice(0, NAMED_MAX).map(([id]) => id)
    this.#log.error({ events: found.length, ids }, errorMessage(error))
    metrics.orphanedClaimsTotal.inc({ processor: name }, found.length)
  }

  /** While a broker's clock is odd, what the others say is wanted, also where nothing is to be settled. */
  #askForTime(queue: SettleQueue): void {
    const everyMs = this.#clock.asksEveryMs
    if (everyMs === undefined || performance.now() - this.#askedAt < everyMs) return
    this.#askedAt = performance.now()
    queue.touch()
  }

  /** Takes records for as long as the gate is open, and there are due ones, free slots, and room for outcomes (T5). */
  #pump(): void {
    const { admission } = this.#deps
    while (this.#state === 'running' && this.#workplace !== undefined) {
      const { intake, queue, claims } = this.#workplace
      if (!queue.hasRoom || this.#isWaitingFull()) return
      if (!admission.gate.enter(this.#wake) || !this.#slots.take()) return
      const now = this.#clock.now()
      // Without room for claims the timer that sweeps asks again.
      const record = intake.next(now, claims.hasRoom)
      if (record === undefined) {
        this.#slots.give()
        this.#wakeAt(intake.nextDueAt(now), now)
        return
      }
      this.#consider(record, this.#workplace)
    }
  }

  /** Whether as many records as may wait for attempts at their ids. */
  #isWaitingFull(): boolean {
    const { queueRecordsMax, queueBytesMax } = this.#deps.limits
    return this.#attempted.isFull(queueRecordsMax, Math.min(queueBytesMax, this.#memory.waitingMax))
  }

  /** Decodes and checks a record while holding a slot; gives the slot back unless an attempt begins. */
  #consider(record: FetchedRecord, workplace: Workplace): void {
    try {
      if (this.#route(record, workplace)) return
    } catch (error) {
      // Say, a part of the checkpoint that was needed now is damaged.
      this.drop(new TaskFailed(error))
    }
    this.#slots.give()
  }

  /** True: an attempt has begun, and keeps the slot. */
  #route(record: FetchedRecord, workplace: Workplace): boolean {
    const { intake, queue, claims } = workplace
    const decoded = this.#deps.decoder.decode(record)
    switch (decoded.kind) {
      case 'unknown-schema':
        intake.block(record)
        void this.#learn(record.topic, decoded.schemaId)
        break
      case 'poison': {
        const outcome: Outcome = { kind: 'dead', reason: 'poison', failure: decoded.failure }
        queue.add({ record, eventRecord: null, outcome, attempt: null, claim: null, span: null })
        break
      }
      case 'event': {
        const { eventRecord } = decoded
        const { id } = eventRecord.event
        const attempted = this.#attempted.get(id)
        if (attempted !== undefined && !attempted.isAside) {
          this.#attempted.wait(attempted, record)
          break
        }
        const outcome = this.#unwanted(eventRecord, intake, claims)
        if (outcome === undefined && attempted !== undefined) {
          this.#attempted.wait(attempted, record)
          break
        }
        if (outcome === undefined) {
          this.#attempted.begin(eventRecord)
          void this.#attempt(eventRecord, workplace)
          return true
        }
        const claim = claimAfter(
          outcome,
          eventRecord.round,
          this.#deps.windowMs(eventRecord),
          this.#clock.now(),
        )
        if (claim !== null) claims.decide(id, claim)
        queue.add({ record, eventRecord, outcome, attempt: null, claim, span: null })
      }
    }
    return false
  }

  /** Stage 6: why a record is not attempted; undefined when it is. */
  #unwanted(eventRecord: EventRecord, intake: Intake, claims: ClaimStore): Outcome | undefined {
    const { event, record, round } = eventRecord
    const { sources } = this.#deps.processor
    const input = intake.input(record.topic)
    const { kind } = input.spec
    const isTaken = sources === null || sources.has(event.source)
    if (!isTaken && kind === 'events') return { kind: 'ignored' }
    const now = this.#clock.now()
    const windowMs = this.#deps.windowMs(eventRecord)
    if (windowMs < this.#shortestWindowMs) this.#shortestWindowMs = windowMs
    if (input.isSettledBefore(record, windowMs, now)) return { kind: 'duplicate' }
    if (!isFresh(kind, round, claims.get(event.id, now))) return { kind: 'duplicate' }
    // Passed over, it would be in no topic any more, and its claim would wait for ever.
    return isTaken ? undefined : { kind: 'dead', reason: 'fatal', failure: notTaken(event.source) }
  }

  /** Stages 7 and 8, in a slot. Nothing is thrown: an error around the attempt ends the task, as one before it does. */
  async #attempt(eventRecord: EventRecord, { attempts, epoch }: Workplace): Promise<void> {
    const { breaker } = this.#deps.admission
    let bytes = 0
    const hold = (more: number): void => {
      bytes += more
      this.#slots.hold(more)
    }
    hold(recordBytes(eventRecord.record))
    const watched = breaker.begin()
    try {
      await this.#attemptAndDecide(eventRecord, attempts, epoch, watched, hold)
    } catch (error) {
      breaker.end(watched, 'nothing')
      this.drop(new TaskFailed(error))
    }
    this.#slots.give(bytes)
    this.#pump()
  }

  async #attemptAndDecide(
    eventRecord: EventRecord,
    attempts: Attempts,
    epoch: number,
    watched: Watched,
    hold: (bytes: number) => void,
  ): Promise<void> {
    const { event, record, round } = eventRecord
    const { processor, admission, clock } = this.#deps
    const parent = contextFromHeader(headerText(record.headers, HEADER.traceparent))
    const span = startChild(
      `process ${processor.name}`,
      SpanKind.CONSUMER,
      parent,
      spanAttributes(eventRecord),
    )
    // What is not recorded needs no spans of its own: the next hop continues the same trace either way.
    const attemptSpan = span.isRecording()
      ? startChild(`attempt ${round.attempt}`, SpanKind.INTERNAL, contextOf(span))
      : span
    let attemptLog: Log | undefined
    const log = (): Log => {
      attemptLog ??= this.#log.child({ event: event.id, attempt: round.attempt })
      return attemptLog
    }
    const startedAt = clock()
    const input = { event, round, span: attemptSpan, log, hold }
    const result = this.#isSuspect(eventRecord)
      ? await this.#quarantined(eventRecord, input, attempts, epoch)
      : await attempts.run(input)
    const durationMs = clock() - startedAt
    if (attemptSpan !== span) attemptSpan.end()
    metrics.attemptSeconds.observe({ processor: processor.name }, durationMs / 1_000)
    const { waiting = [], isAside = false } = this.#attempted.end(event.id) ?? {}
    const charge = admission.breaker.end(watched, verdictOf(result))
    const workplace = this.#workplace
    if (result.kind === 'abandoned' || workplace === undefined || this.#state === 'ended') {
      span.end()
    } else if (charge === 'put back') {
      span.end()
      log().debug({ durationMs }, 'put back while the breaker is open')
      workplace.intake.putBack(isAside ? waiting : [record, ...waiting])
    } else {
      const outcome = decide(result, round, processor.delaysMs, crashesIn(eventRecord.history))
      const attempt = attemptRecord(result, round.attempt, startedAt, durationMs)
      const windowMs = this.#deps.windowMs(eventRecord)
      const claim = claimAfter(outcome, round, windowMs, this.#clock.now())
      if (claim !== null) workplace.claims.decide(event.id, claim)
      if (outcome.kind !== 'processed' || this.#log.isLevelEnabled('debug')) {
        logOutcome(log(), outcome, { durationMs, attempts: processor.delaysMs.length + 1 })
      }
      workplace.queue.add({ record, eventRecord, outcome, attempt, claim, span, isAside })
      workplace.intake.putBack(waiting)
    }
  }

  /** Whether an attempt may end its process: an earlier one has, or nobody knows what ended the last owner. */
  #isSuspect({ record, history }: EventRecord): boolean {
    if (this.#deps.quarantine === undefined) return false
    if (this.#suspects > 0) {
      this.#suspects--
      return true
    }
    return crashesIn(history) > 0 || headerText(record.headers, HEADER.reason) === 'crashed'
  }

  async #quarantined(
    { event, round, history }: EventRecord,
    input: AttemptInput,
    attempts: Attempts,
    epoch: number,
  ): Promise<AttemptResult> {
    const result = await (this.#deps.quarantine as Quarantine).run({
      attempt: { event, round, epoch, partition: this.partition, span: input.span.spanContext() },
      alone: crashesIn(history) > 0,
      signal: this.#abort.signal,
      here: () => attempts.run(input),
    })
    if (result.kind === 'succeeded') for (const output of result.outputs) input.hold(outputBytes(output))
    return result
  }

  /** Asks for an unknown schema; the input waits meanwhile, because a registry that is away makes nothing poison. */
  async #learn(topic: string, schemaId: number): Promise<void> {
    try {
      await this.#deps.decoder.learn(schemaId)
    } catch (error) {
      this.#log.warn({ topic, schemaId, error: errorMessage(error) }, 'a schema cannot be had; asking again')
      await new Promise(resolve => setTimeout(resolve, SCHEMA_RETRY_MS))
    }
    this.#workplace?.intake.unblock(topic)
    this.#pump()
  }

  #wakeAt(dueAt: number | undefined, now: number): void {
    clearTimeout(this.#timer)
    if (dueAt === undefined) return
    this.#timer = setTimeout(this.#wake, Math.min(Math.max(1, Math.ceil(dueAt - now)), TIMER_MS_MAX))
  }

  /** Unnarrowed: the state changes across an await. */
  #isDraining(): boolean {
    return this.#state === 'draining'
  }

  #labels(): { processor: string; partition: string } {
    return { processor: this.#deps.processor.name, partition: String(this.partition) }
  }
}

function notTaken(source: string): Failure {
  const message = `the processor takes no events of ${source} any more`
  return { kind: 'fatal', code: 'SP_SOURCE_NOT_TAKEN', message, blamesDependency: false }
}
