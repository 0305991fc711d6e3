/**
 * One stay in a consumer group, from joining to leaving.
 *
 * M1. A task goes on over a new assignment if its partition stays, whether it runs or still acquires: a restore that
 *     began anew with each member that comes or goes might never end. Should another owner have come between, that one's
 *     acquisition fenced the task's producer: its next transaction fails, and M3 follows. Every other task ends.
 * M2. A task's successor in this process waits until it has unwound, so that the two never race for the
 *     transactional id.
 * M3. Any task's failure ends the stay: the process leaves the group and starts from scratch. Only a newer
 *     GROUP_JOIN makes it acquire again, so a zombie that wakes does not fence the true owner for good.
 * M4. A partition whose tasks fail again and again is held back (partition-holds.ts): its task ends alone and nothing of
 *     it is read, while the others go on. When its time is over the process joins again, and acquires it then (M3).
 */
import { systemClock } from '@sallyport/core/clock'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { groupOffsets, withAdmin } from '@sallyport/core/kafka/admin'
import { inOrderOfMoving } from '@sallyport/core/kafka/assigner'
import { type FetchedBatch, GroupConsumer, type GroupListener } from '@sallyport/core/kafka/group-consumer'
import { hasMember } from '@sallyport/core/kafka/partition-growth'
import { PartitionLogs } from '@sallyport/core/kafka/partition-logs'
import { TaskProducer } from '@sallyport/core/kafka/task-producer'
import type { Log } from '@sallyport/core/log'
import * as metrics from '@sallyport/core/metrics'
import type { Settings } from '@sallyport/core/settings'
import { eventRecordBytesMax } from '@sallyport/core/topics'
import { CheckpointFolder } from './checkpoint-folder.ts'
import type { ProcessorConfig } from './config.ts'
import { EventDecoder } from './decode.ts'
import { type InputSpec, tierEnds } from './inputs.ts'
import type { InputProgress } from './lag.ts'
import { differingSettings, memberSettings } from './member-settings.ts'
import type { ProcessMemory } from './memory.ts'
import { OutputEncoder, type OutputLimits } from './outputs.ts'
import type { Hold, PartitionHolds } from './partition-holds.ts'
import { type PositionReader, readPositions } from './positions.ts'
import { PROCESS_ID } from './process-id.ts'
import { Quarantine } from './quarantine.ts'
import type { Admission, ProcessorKafka } from './runtime.ts'
import { placesWritten } from './settle.ts'
import { Task, type TaskDependencies } from './task.ts'
import { refreshEveryMs, shortestWindowMs } from './windows.ts'

/** Why a stay ended. */
export type Ending = { readonly kind: 'drained' } | { readonly kind: 'failed'; readonly error: unknown }

/** A partition that is held back (M4). */
interface HeldBack {
  /** Runs until its time is over. */
  readonly timer: NodeJS.Timeout
  /** The task that failed, if it failed in this stay. */
  readonly task: Task | undefined
  /** Input topic → where the group stands, as far as it is known. */
  committed: ReadonlyMap<string, number>
}

export class Membership implements GroupListener {
  readonly #processor: ProcessorConfig
  readonly #settings: Settings
  readonly #kafka: ProcessorKafka
  readonly #inputs: readonly InputSpec[]
  readonly #topics: readonly string[]
  readonly #admission: Admission
  readonly #memory: ProcessMemory
  readonly #holds: PartitionHolds
  readonly #log: Log
  readonly #consumer: GroupConsumer
  readonly #ended = Promise.withResolvers<Ending>()
  readonly #joined = Promise.withResolvers<void>()
  readonly #decoder: EventDecoder
  readonly #encoder: OutputEncoder
  readonly #logs: PartitionLogs
  readonly #quarantine: Quarantine | undefined
  #tasks = new Map<number, Task>()
  /** Partitions that are held back (M4). */
  readonly #heldBack = new Map<number, HeldBack>()
  /** Tasks that have ended and may still be unwinding (M2). */
  #unwinding = new Map<number, Promise<void>>()
  #draining = false
  #over = false

  constructor(
    processor: ProcessorConfig,
    settings: Settings,
    kafka: ProcessorKafka,
    inputs: readonly InputSpec[],
    admission: Admission,
    memory: ProcessMemory,
    holds: PartitionHolds,
    log: Log,
  ) {
    this.#processor = processor
    this.#settings = settings
    this.#kafka = kafka
    this.#inputs = inputs
    this.#admission = admission
    this.#memory = memory
    this.#holds = holds
    this.#log = log
    this.#logs = new PartitionLogs(kafka.producers)
    this.#decoder = new EventDecoder(kafka.registry, settings.partitions)
    const { emitBytesMax, transactionPartitionsMax } = settings.processing
    const recordBytesMax = eventRecordBytesMax(settings.ingress.bodyBytesMax)
    const limits = { recordBytesMax, emitBytesMax, transactionPartitionsMax }
    this.#encoder = new OutputEncoder(kafka.outputs, settings.partitions, limits)
    this.#quarantine = this.#makeQuarantine(limits)
    this.#topics = [processor.topics.claims, ...inputs.map(({ topic }) => topic)]
    this.#consumer = new GroupConsumer(
      kafka.client,
      {
        groupId: processor.groupId,
        topics: this.#topics,
        sessionTimeoutMs: settings.processing.sessionTimeoutMs,
        memberSettings: memberSettings(processor, settings),
        process: PROCESS_ID,
        partitionBytesMax: recordBytesMax,
      },
      this,
      log,
    )
  }

  /** Undefined where the handler is no module, which another process could load. */
  #makeQuarantine(limits: OutputLimits): Quarantine | undefined {
    const { name, entry } = this.#processor
    if (entry === undefined) return undefined
    const { partitions, processing } = this.#settings
    const schemaIds = new Map([...this.#kafka.outputs].map(([topic, { schemaId }]) => [topic, schemaId]))
    const settings = { entry, schemaIds, partitions, limits }
    return new Quarantine(settings, name, processing.hangTimeoutMs, this.#log)
  }

  /** Joins the group, and returns how the stay ended. */
  async stay(): Promise<Ending> {
    void this.#consumer.start()
    return await this.#ended.promise
  }

  /** Resolves with the first assignment. */
  get joinedOnce(): Promise<void> {
    return this.#joined.promise
  }

  /** Ends the stay: finishes what is in flight within `deadlineMs`, settles it, and leaves the group. */
  async drain(deadlineMs: number): Promise<void> {
    this.#draining = true
    const drained = await Promise.allSettled([...this.#tasks.values()].map(task => task.drain(deadlineMs)))
    const failure = drained.find(result => result.status === 'rejected')
    await this.#end(failure === undefined ? { kind: 'drained' } : { kind: 'failed', error: failure.reason })
  }

  /** Where its tasks stand, and the partitions that are held back. */
  get progress(): InputProgress[] {
    const running = [...this.#tasks.values()].flatMap(task => task.progress)
    const held = [...this.#heldBack].flatMap(([partition, { task, committed }]) => {
      const stood = task?.lastProgress ?? []
      return stood.length > 0 ? stood : this.#progressAt(partition, committed)
    })
    return [...running, ...held]
  }

  #progressAt(partition: number, committed: ReadonlyMap<string, number>): InputProgress[] {
    const windowMs = shortestWindowMs(this.#settings, this.#processor.sources)
    return this.#inputs.flatMap(spec => {
      const position = committed.get(spec.topic)
      return position === undefined
        ? []
        : [{ spec, partition, position, oldestAt: undefined, now: Date.now(), windowMs }]
    })
  }

  joined(partitions: readonly number[]): void {
    if (this.#over) return
    this.#log.info({ partitions }, 'joined the group')
    const kept = new Map(
      [...this.#tasks].filter(
        ([partition, task]) => partitions.includes(partition) && (task.isAcquiring || task.hasAcquired),
      ),
    )
    this.#dropTasks(kept)
    for (const task of kept.values()) task.readOn()
    for (const partition of this.#heldBack.keys()) this.#letGo(partition)
    for (const partition of partitions) {
      if (this.#holds.remainingMs(partition) > 0) this.#holdBack(partition, undefined)
    }
    const taken = partitions.filter(partition => !kept.has(partition) && !this.#heldBack.has(partition))
    if (taken.length > 0) this.#take(taken)
    this.#joined.resolve()
  }

  /** What drains begins nothing: what it is given meanwhile waits, paused, until it has left. */
  #take(partitions: readonly number[]): void {
    if (this.#draining) return
    const reader = readPositions(
      this.#processor,
      this.#inputs,
      this.#settings.windowMs,
      this.#kafka.client,
      this.#logs,
      this.#log,
    )
    const { checkpointFolder } = this.#settings.processing
    const checkpoints =
      checkpointFolder === undefined
        ? undefined
        : new CheckpointFolder(checkpointFolder, this.#kafka.identify, systemClock, this.#log)
    for (const partition of partitions) {
      const task = new Task(partition, this.#taskDependencies(reader, checkpoints))
      this.#tasks.set(partition, task)
      task.run().catch((error: unknown) => this.#taskFailed(task, error))
    }
  }

  #taskFailed(task: Task, error: unknown): void {
    const { partition } = task
    const isCurrent = this.#tasks.get(partition) === task
    if (!this.#over && isCurrent) {
      const stood = task.lastProgress
      const hold = this.#holds.failed(partition, {
        ranMs: task.ranMs,
        waiting: positionsOf(stood.filter(({ oldestAt }) => oldestAt !== undefined)),
        positions: positionsOf(stood),
        othersRun: [...this.#tasks.values()].some(other => other.hasAcquired),
      })
      if (hold !== undefined) {
        this.#tasks.delete(partition)
        this.#holdBack(partition, task)
        this.#sayHeldBack(partition, hold, error)
        return
      }
    }
    void this.#end({ kind: 'failed', error })
  }

  /** Leaves a partition alone until its time is over (M4). `task`: the one that failed, if it is known. */
  #holdBack(partition: number, task: Task | undefined): void {
    this.#consumer.close(partition, this.#topics)
    const ms = Math.ceil(this.#holds.remainingMs(partition)) + 1
    const timer = setTimeout(() => this.#consumer.joinAgain(), ms)
    const heldBack: HeldBack = { timer, task, committed: new Map() }
    this.#heldBack.set(partition, heldBack)
    metrics.partitionsHeldBack.set({ processor: this.#processor.name, partition: String(partition) }, 1)
    const topics = this.#inputs.map(({ topic }) => topic)
    withAdmin(this.#kafka.client, admin =>
      groupOffsets(admin, this.#processor.groupId, topics, partition),
    ).then(
      committed => {
        heldBack.committed = committed
      },
      (error: unknown) => this.#log.debug({ partition, error: errorMessage(error) }, 'its lag cannot be had'),
    )
  }

  #letGo(partition: number): void {
    clearTimeout(this.#heldBack.get(partition)?.timer)
    this.#heldBack.delete(partition)
    metrics.partitionsHeldBack.remove({ processor: this.#processor.name, partition: String(partition) })
  }

  #sayHeldBack(partition: number, { failures, forMs }: Hold, cause: unknown): void {
    const error = new SallyportError(
      'SP_HELD_BACK',
      `partition ${partition} of ${this.#processor.name} failed ${failures} times in a row, last with “${errorMessage(cause)}”: it is held back for ${forMs / 1_000} s and then tried again, the other partitions go on`,
      { cause },
    )
    this.#log.error({ partition, failures, forMs }, error.message)
  }

  inOrderOfMoving(partitions: readonly number[]): number[] {
    // What is held back does not run: that it moves would disturb another process, and help nobody.
    const movesLast = (partition: number) =>
      this.#heldBack.has(partition) || this.#tasks.get(partition)?.isAcquiring === true
    return inOrderOfMoving(partitions, movesLast)
  }

  fetched(batch: FetchedBatch): number | undefined {
    return this.#tasks.get(batch.partition)?.offer(batch)
  }

  passed(topic: string, partition: number, from: number, next: number): void {
    this.#tasks.get(partition)?.passed(topic, from, next)
  }

  outOfRange(topic: string, partition: number): void {
    this.#tasks.get(partition)?.outOfRange(topic)
  }

  assigned(settings: readonly string[]): void {
    const differing = differingSettings(settings)
    metrics.settingsVariants.set({ processor: this.#processor.name }, new Set(settings).size)
    if (differing.length === 0) return
    const error = new SallyportError(
      'SP_SETTINGS_DIFFER',
      `processes of ${this.#processor.name} differ in ${differing.join(', ')}; each partition follows its owner. Expected during a deployment; afterwards look for two processors of one name`,
    )
    this.#log.warn({ differing }, error.message)
  }

  failed(error: SallyportError): void {
    void this.#end({ kind: 'failed', error })
  }

  async #end(ending: Ending): Promise<void> {
    if (this.#over) return
    this.#over = true
    this.#dropTasks()
    for (const partition of this.#heldBack.keys()) this.#letGo(partition)
    this.#quarantine?.close()
    await this.#consumer.stop()
    await Promise.all(this.#unwinding.values())
    this.#ended.resolve(ending)
  }

  #dropTasks(kept: ReadonlyMap<number, Task> = new Map()): void {
    for (const [partition, task] of this.#tasks) {
      if (kept.has(partition)) continue
      task.drop()
      const before = this.#unwinding.get(partition)
      this.#unwinding.set(
        partition,
        Promise.all([before, task.unwound]).then(() => {}),
      )
    }
    this.#tasks = new Map(kept)
  }

  #taskDependencies(reader: PositionReader, checkpoints: CheckpointFolder | undefined): TaskDependencies {
    const { processing, windowMs } = this.#settings
    return {
      processor: this.#processor,
      claimsTopic: this.#processor.topics.claims,
      inputs: this.#inputs,
      limits: processing,
      schemas: this.#kafka.schemas,
      registry: this.#kafka.registry,
      decoder: this.#decoder,
      encoder: this.#encoder,
      admission: this.#admission,
      memory: this.#memory,
      claimsBudget: this.#memory.claims,
      quarantine: this.#quarantine,
      isMember: process =>
        withAdmin(this.#kafka.client, admin => hasMember(admin, this.#processor.groupId, process)),
      checkpoints,
      log: this.#log,
      clock: systemClock,
      brokerClock: this.#kafka.brokerClock,
      windowMs: ({ event }) => Math.min(event.windowMs ?? windowMs, windowMs),
      shortestWindowMs: shortestWindowMs(this.#settings, this.#processor.sources),
      sourceLabel: source => (Object.hasOwn(this.#settings.sources, source) ? source : 'other'),
      refreshMs: refreshEveryMs(windowMs, this.#kafka.transactionalIdsMs),
      checkpointIntervalMs: processing.checkpointIntervalMs,
      openProducer: async (partition, clock) => {
        await this.#unwinding.get(partition)
        return await TaskProducer.open(this.#kafka.producers, this.#processor.groupId, partition, {
          transactionTimeoutMs: processing.transactionTimeoutMs,
          clock,
          written: placesWritten(this.#processor, partition, this.#settings.partitions),
          endedLate: (places, end) =>
            this.#log.warn(
              { partition, places, end },
              'a broker had left records of a dead owner’s transaction open; they are ended as it had been decided',
            ),
        })
      },
      resolvePositions: (partition, restored, now) => reader.resolve(partition, restored, now),
      epochEnd: (partition, topic, epoch) => this.#logs.epochEnd(topic, partition, epoch),
      tierEnds: partition => tierEnds(this.#processor, this.#inputs, this.#kafka.client, partition),
      keptFrom: (partition, topic, position) => reader.keptFrom(partition, topic, position),
      claimsStart: partition => reader.claimsStart(partition),
      claimsEnd: partition => this.#kafka.endOf(this.#processor.topics.claims, partition),
      readFrom: (partition, positions) => this.#consumer.readFrom(partition, positions),
      pause: (partition, topics) => this.#consumer.pause(partition, topics),
      close: (partition, topics) => this.#consumer.close(partition, topics),
      resume: (partition, topics) => this.#consumer.resume(partition, topics),
    }
  }
}

function positionsOf(progress: readonly InputProgress[]): Map<string, number> {
  return new Map(progress.map(({ spec, position }) => [spec.topic, position]))
}
