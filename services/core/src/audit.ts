/**
 * What operators did, folded from the records of `sallyport.audit`, which is all there is to know about it.
 *
 *     STARTED → (RUNNING → PROGRESS*)* → FINISHED → REPORTED, or CANCELLED
 *
 * O1. An operation's id is the offset of its STARTED record, and the generation of what the operation sends. Offset 0
 *     is none.
 * O2. A processor has one operation at a time: of several open ones the lowest id counts, the others withdraw.
 * O3. Progress is written in the transaction that sends the records it accounts for.
 * O4. Finished is not reported: whoever is killed between the two and gives the same command again is told, and
 *     nothing is done twice.
 * O5. A checkpoint says what the records below an offset come to. It holds every pause and every open operation, so a
 *     fold that begins with it and goes on from that offset comes to the same as one from the start.
 * O6. Forgotten is only an operation that has ended, is not its processor's last one, and can have to do with no dead
 *     letter that is kept.
 */
import { type AvroSchema, loadSchema } from './codec.ts'
import type {
  AuditRecord,
  Checkpoint,
  CheckpointOperation,
  OffsetRange,
  OperationState,
  Operator,
  Progress,
  Selection,
} from './contract.ts'
import { type PauseState, Pauses } from './pauses.ts'

export type { AuditRecord, Checkpoint, OffsetRange, Operator, Progress, Selection }

export const AUDIT_SCHEMA: AvroSchema = loadSchema('audit.v1')

/** Operations that select records. */
export type OperationKind = 'REDRIVE' | 'REPLAY' | 'DISCARD'
/** An operation as its records tell it. */
export interface Operation {
  readonly id: number
  readonly kind: OperationKind
  readonly processor: string
  readonly selection: Selection
  readonly ranges: ReadonlyMap<number, OffsetRange>
  readonly command: string
  readonly why: string
  readonly startedBy: Operator
  /** ms since the epoch, the brokers' clock. */
  readonly startedAt: number
  readonly planned: number
  state: OperationState
  /** Whether somebody was told that it is finished (O4). */
  reported: boolean
  /** Who wrote its last step. */
  lastBy: Operator
  lastAt: number
  /** Records sent, or hidden. */
  handled: number
  readonly progress: Map<number, Progress>
}

/** What operations on a processor are too old to matter, by when they ended, ms since the epoch (O6). */
export interface Horizon {
  /** Redrives and discards that ended before can have taken no dead letter that is kept. */
  readonly redrives: number
  /** The same of replays: what they sent may have waited behind their end while the event still died. */
  readonly replays: number
}

/** A command of more characters is kept in part: its selection says the same. */
const COMMAND_CHARS_MAX = 65_536

export class AuditState {
  readonly #operations = new Map<number, Operation>()
  readonly #pauses = new Pauses()

  /** Takes one record; what a later version wrote and this one does not know is passed over. */
  apply(offset: number, at: number, record: AuditRecord): void {
    const { kind } = record
    switch (kind) {
      case 'PAUSE':
      case 'RESUME':
        this.#pauses.apply(offset, at, record)
        return
      case 'CHECKPOINT':
      case 'UNKNOWN':
        return
      default:
        if (record.step === 'STARTED') this.#start(offset, at, kind, record)
        else this.#advance(at, record)
    }
  }

  /** Takes a part of a checkpoint; before any record that the checkpoint does not take in (O5). */
  restore(part: Checkpoint): void {
    this.#pauses.restore(part)
    for (const { kind, ranges, progress, ...rest } of part.operations) {
      if (kind !== 'REDRIVE' && kind !== 'REPLAY' && kind !== 'DISCARD') continue
      this.#operations.set(rest.id, {
        ...rest,
        kind,
        ranges: new Map(ranges.map(range => [range.partition, range])),
        progress: new Map(progress.map(one => [one.partition, one])),
      })
    }
  }

  /** What a checkpoint has to hold (O5). */
  get entries(): Pick<Checkpoint, 'pauses' | 'operations'> {
    const operations = [...this.#operations.values()].map(
      ({ command, ranges, progress, ...rest }): CheckpointOperation => ({
        ...rest,
        command: command.slice(0, COMMAND_CHARS_MAX),
        ranges: [...ranges.values()],
        progress: [...progress.values()],
      }),
    )
    return { pauses: this.#pauses.entries, operations }
  }

  /** How many operations it holds. */
  get size(): number {
    return this.#operations.size
  }

  /** Processors with operations that have ended. */
  get endedOn(): Set<string> {
    const ended = [...this.#operations.values()].filter(({ state }) => state !== 'open')
    return new Set(ended.map(({ processor }) => processor))
  }

  /** Forgets what no longer matters of a processor's operations (O6). */
  forget(processor: string, horizon: Horizon): void {
    const operations = this.operations(processor)
    const last = operations.at(-1)
    for (const operation of operations) {
      const { id, kind, state, lastAt } = operation
      if (operation === last || state === 'open') continue
      if (lastAt < (kind === 'REPLAY' ? horizon.replays : horizon.redrives)) this.#operations.delete(id)
    }
  }

  operation(id: number): Operation | undefined {
    return this.#operations.get(id)
  }

  /** A processor's operations, oldest first. */
  operations(processor: string): Operation[] {
    return [...this.#operations.values()].filter(operation => operation.processor === processor)
  }

  /** The operation that excludes others on this processor (O2). */
  openOperation(processor: string): Operation | undefined {
    return this.operations(processor).find(({ state }) => state === 'open')
  }

  /** What operators last said about a processor's intake; undefined where nobody ever did. */
  pauseOf(processor: string): PauseState | undefined {
    return this.#pauses.pauseOf(processor)
  }

  #start(offset: number, at: number, kind: OperationKind, record: AuditRecord): void {
    const { processor, selection, ranges, command, why, by, count } = record
    // Generation 0 means none: what such an operation sent would be taken for duplicates.
    if (selection === null || offset === 0) return
    this.#operations.set(offset, {
      id: offset,
      kind,
      processor,
      selection,
      ranges: new Map(ranges.map(range => [range.partition, range])),
      command,
      why,
      startedBy: by,
      startedAt: at,
      planned: count,
      state: 'open',
      reported: false,
      lastBy: by,
      lastAt: at,
      handled: 0,
      progress: new Map(),
    })
  }

  #advance(at: number, { operation: id, step, by, progress, count }: AuditRecord): void {
    const operation = id === null ? undefined : this.#operations.get(id)
    if (step === 'REPORTED' && operation !== undefined) operation.reported = true
    if (operation === undefined || operation.state !== 'open') return
    operation.lastBy = by
    operation.lastAt = at
    if (progress !== null) {
      operation.progress.set(progress.partition, progress)
      operation.handled = count
    }
    if (step === 'FINISHED') {
      operation.state = 'finished'
      operation.handled = count
    }
    if (step === 'CANCELLED') operation.state = 'cancelled'
  }
}
