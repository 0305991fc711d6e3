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
 */
import { type AvroSchema, loadSchema } from './codec.ts'
import type { AuditRecord, OffsetRange, Operator, Progress, Selection } from './contract.ts'

export type { AuditRecord, OffsetRange, Operator, Progress, Selection }

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
  state: 'open' | 'finished' | 'cancelled'
  /** Whether somebody was told that it is finished (O4). */
  reported: boolean
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
