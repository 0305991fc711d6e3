/**
 * What operators did, folded from the records of `sallyport.audit`, which is all there is to know about it.
 *
 *     STARTED → (RUNNING → PROGRESS*)* → FINISHED | CANCELLED
 *
 * O1. An operation's id is the offset of its STARTED record; it is the generation of what the operation sends.
 * O2. A processor has one operation at a time: of several open ones the lowest id counts, the others withdraw.
 * O3. Progress is written in the transaction that sends the records it accounts for.
 */
import { type AvroSchema, loadSchema } from './codec.ts'

export const AUDIT_SCHEMA: AvroSchema = loadSchema('audit.v1')

/** Operations that select records. */
export type OperationKind = 'REDRIVE' | 'REPLAY' | 'DISCARD'
export type OperationStep = 'STARTED' | 'RUNNING' | 'PROGRESS' | 'FINISHED' | 'CANCELLED'

export interface Operator {
  readonly user: string
  readonly host: string
  readonly pid: number
}

/** Which records; an empty list means any. */
export interface Selection {
  readonly ids: readonly string[]
  readonly sources: readonly string[]
  readonly types: readonly string[]
  readonly reasons: readonly string[]
  readonly codes: readonly string[]
  readonly text: string | null
  /** Append times, ms since the epoch: from ≤ time < to. */
  readonly from: number | null
  readonly to: number | null
}

/** Offsets of one partition: from ≤ offset < until. */
export interface OffsetRange {
  readonly partition: number
  readonly from: number
  readonly until: number
}

/** How far an operation is in one partition. */
export interface Progress {
  readonly partition: number
  /** Everything selected below this offset was sent. */
  readonly through: number
  /** One past the last record that it sent to this partition of the redrive lane. */
  readonly laneEnd: number
}

/** The value of an audit record; `schemas/audit.v1.avsc` says what each field means. */
export interface AuditRecord {
  readonly operation: number | null
  readonly kind: OperationKind | 'PAUSE' | 'RESUME' | 'UNKNOWN'
  readonly step: OperationStep | 'UNKNOWN'
  readonly processor: string
  readonly by: Operator
  readonly why: string
  readonly command: string
  readonly selection: Selection | null
  readonly ranges: readonly OffsetRange[]
  readonly progress: Progress | null
  readonly count: number
}

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
  state: 'open' | 'finished' | 'cancelled'
  /** Who wrote its last step. */
  lastBy: Operator
  lastAt: number
  /** Records sent, or hidden. */
  handled: number
  readonly progress: Map<number, Progress>
}

/** A processor's intake, as an operator left it. */
export interface PauseState {
  readonly paused: boolean
  readonly by: Operator
  readonly why: string
  readonly at: number
}

export class AuditState {
  readonly #operations = new Map<number, Operation>()
  readonly #pauses = new Map<string, PauseState>()

  /** Takes one record; what a later version wrote and this one does not know is passed over. */
  apply(offset: number, at: number, record: AuditRecord): void {
    const { kind, by, why, processor } = record
    switch (kind) {
      case 'PAUSE':
      case 'RESUME':
        this.#pauses.set(processor, { paused: kind === 'PAUSE', by, why, at })
        return
      case 'UNKNOWN':
        return
      default:
        if (record.step === 'STARTED') this.#start(offset, at, kind, record)
        else this.#advance(at, record)
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
    return this.#pauses.get(processor)
  }

  #start(offset: number, at: number, kind: OperationKind, record: AuditRecord): void {
    const { processor, selection, ranges, command, why, by, count } = record
    if (selection === null) return
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
      lastBy: by,
      lastAt: at,
      handled: 0,
      progress: new Map(),
    })
  }

  #advance(at: number, { operation: id, step, by, progress, count }: AuditRecord): void {
    const operation = id === null ? undefined : this.#operations.get(id)
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
