/**
 * How a task becomes the owner of its partition: acquire the epoch, then read the state.
 *
 * The barrier is written in the new producer's first transaction. That transaction initialises the producer, which
 * makes the broker resolve the predecessor's transaction and refuse its later ones; so whatever the predecessor
 * committed lies before the barrier, and nothing of it can come behind.
 */
import { randomUUID } from 'node:crypto'
import type { BrokerClock } from '@sallyport/core/clock'
import { SallyportError } from '@sallyport/core/errors'
import type { FetchedBatch } from '@sallyport/core/kafka/group-consumer'
import type { PartitionEnd } from '@sallyport/core/kafka/partition-ends'
import type { SchemaRegistry } from '@sallyport/core/kafka/registry'
import type { TaskProducer } from '@sallyport/core/kafka/task-producer'
import type { Checkpoint, CheckpointHead } from './checkpoint.ts'
import type { CheckpointFolder, OpenedCheckpoint } from './checkpoint-folder.ts'
import type { OwnedCheckpoint } from './checkpointer.ts'
import { ClaimStore } from './claim-store.ts'
import type { ClaimsBudget } from './claims-budget.ts'
import { barrierRecord } from './claims-record.ts'
import { PROCESS_ID } from './process-id.ts'
import { Restore, type RestoredPositions, type RestoreSchemas } from './restore.ts'
import { isStalled, stalledError } from './stalled.ts'

export interface AcquisitionDependencies {
  readonly claimsTopic: string
  readonly schemas: RestoreSchemas
  readonly registry: SchemaRegistry
  /** What all tasks of the process learn of the brokers' time. */
  readonly brokerClock: BrokerClock
  /** Offset of the first claim that is kept. */
  claimsStart(partition: number): Promise<number>
  /** Where the claims end; undefined where that is not known. */
  claimsEnd(partition: number): Promise<PartitionEnd | undefined>
  readFrom(partition: number, positions: ReadonlyMap<string, number>): void
  pause(partition: number, topics: readonly string[]): void
  /** Reads no more of them as long as this assignment holds. */
  close(partition: number, topics: readonly string[]): void
  resume(partition: number, topics: readonly string[]): void
  /** Memory for the claims of all tasks of the process. */
  readonly claimsBudget: ClaimsBudget
  /** Undefined where none are kept. */
  readonly checkpoints: CheckpointFolder | undefined
}

/** The state that the last owner left. */
export interface AcquiredState {
  readonly claims: ClaimStore
  /** Undefined where no owner ever wrote any. */
  readonly positions: RestoredPositions | undefined
  /** Records of the claims topic that were read. */
  readonly recordsRead: number
  /** Offset of this owner's barrier: every later owner's is greater. */
  readonly epoch: number
  /** The process that owned it last and has not drained it; empty where that one has, or none is known. */
  readonly predecessor: string
  /** Where this partition's claims are saved; undefined where they are not. */
  readonly checkpoint: OwnedCheckpoint | undefined
}

/** A restore that brings nothing for this long has failed, ms. */
const RESTORE_STALL_MS = 60_000

export class Acquisition {
  readonly #partition: number
  readonly #deps: AcquisitionDependencies
  readonly #signal: AbortSignal
  readonly #stallMs: number
  #restore: Restore | undefined
  #claims: ClaimStore | undefined
  #checkpoint: Checkpoint | undefined

  /** `signal` aborts when the partition is lost meanwhile. */
  constructor(
    partition: number,
    deps: AcquisitionDependencies,
    signal: AbortSignal,
    stallMs = RESTORE_STALL_MS,
  ) {
    this.#partition = partition
    this.#deps = deps
    this.#signal = signal
    this.#stallMs = stallMs
  }

  /**
   * Makes `producer` the owner's and reads the state. Throws `SP_FENCED`, `SP_TRANSACTION`, `SP_STALLED` or
   * `SP_RESTORE`.
   */
  async run(producer: TaskProducer): Promise<AcquiredState> {
    const nonce = randomUUID()
    const high = await this.#writeBarrier(producer, nonce)
    const low = await this.#deps.claimsStart(this.#partition)
    const opened = await this.#openCheckpoint(nonce, low, high)
    const { file, head } = opened ?? {}
    const saved = file && head && { ...head, part: (id: string) => file.part(id) }
    // Behind `close` nobody would give the memory of claims back.
    this.#signal.throwIfAborted()
    const claims = new ClaimStore(this.#deps.claimsBudget, saved)
    this.#claims = claims
    const restore = this.#startRestore(claims, nonce, head?.offset ?? low, head)
    this.readOn()
    const positions = await this.#finished(restore).finally(() => restore.close())
    this.#deps.close(this.#partition, [this.#deps.claimsTopic])
    this.#restore = undefined
    const checkpoint = file && { file, savedOffset: head?.offset }
    const { records: recordsRead, barrierOffset: epoch, predecessor } = restore
    return { claims, positions, recordsRead, epoch, predecessor, checkpoint }
  }

  /** Reads the claims on behind what was taken; after a new assignment the consumer has forgotten where it was. */
  readOn(): void {
    const restore = this.#restore
    if (restore === undefined) return
    const { claimsTopic: topic, pause, readFrom } = this.#deps
    readFrom(this.#partition, new Map([[topic, restore.next]]))
    if (restore.isHeld) pause(this.#partition, [topic])
  }

  /** Takes a batch of the claims topic. False: it is not wanted now. */
  offer(batch: FetchedBatch): boolean {
    if (this.#restore === undefined) return false
    this.#restore.offer(batch)
    return true
  }

  /** Gives the memory of the claims back, and closes their checkpoint. */
  close(): void {
    this.#claims?.close()
    this.#checkpoint?.close()
  }

  async #openCheckpoint(
    owner: string,
    low: number,
    high: number | undefined,
  ): Promise<OpenedCheckpoint | undefined> {
    const { checkpoints, claimsTopic: topic } = this.#deps
    if (checkpoints === undefined || high === undefined) return undefined
    const opened = await checkpoints.open({ topic, partition: this.#partition, owner, low, high })
    this.#checkpoint = opened?.file
    if (this.#signal.aborted) opened?.file.close()
    return opened
  }

  #startRestore(claims: ClaimStore, nonce: string, from: number, head: CheckpointHead | undefined): Restore {
    const { schemas, registry, pause, resume, claimsTopic } = this.#deps
    // The answer to the barrier has told the time.
    const bounds = { from, notAfter: this.#deps.brokerClock.now() }
    const restore = new Restore(claims, nonce, bounds, schemas, registry, {
      pause: () => pause(this.#partition, [claimsTopic]),
      resume: () => resume(this.#partition, [claimsTopic]),
    })
    if (head !== undefined) {
      restore.positions = {
        offsets: new Map(Object.entries(head.positions)),
        logs: new Map(Object.entries(head.logs)),
        writtenAt: head.positionsAt,
      }
      restore.predecessor = head.process ?? ''
    }
    this.#restore = restore
    return restore
  }

  /** Returns one past the barrier's offset; undefined where the broker did not say. */
  async #writeBarrier(producer: TaskProducer, nonce: string): Promise<number | undefined> {
    const records = [barrierRecord(this.#deps.schemas.barrier, nonce, PROCESS_ID)]
    return await producer.transact(
      { topic: this.#deps.claimsTopic, partition: this.#partition, records },
      [],
      [],
    )
  }

  /** Waits for the barrier, but not for one that nothing brings nearer. */
  async #finished(restore: Restore): Promise<RestoredPositions | undefined> {
    const signal = this.#signal
    signal.throwIfAborted()
    let seen = -1
    let timer: NodeJS.Timeout | undefined
    const stalled = new Promise<never>((_, reject) => {
      timer = setInterval(() => {
        if (restore.records === seen) void this.#stallError().then(reject)
        seen = restore.records
      }, this.#stallMs)
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
    try {
      return await Promise.race([restore.done, stalled])
    } finally {
      clearInterval(timer)
    }
  }

  /** Why the claims bring nothing: a foreign transaction that was left open keeps the barrier from committed reading. */
  async #stallError(): Promise<SallyportError> {
    const end = await this.#deps.claimsEnd(this.#partition).catch(() => undefined)
    if (end !== undefined && isStalled(end)) return stalledError(end, this.#stallMs)
    return new SallyportError(
      'SP_RESTORE',
      `the claims topic brought nothing for ${this.#stallMs / 1_000} s; the processor starts again`,
    )
  }
}
