/**
 * The audit topic: reads operators' actions, and appends to them.
 *
 * look for the last checkpoint, from the end → take its parts → take the records from where it ends
 *
 * So a reader's time depends on what came since the last checkpoint, never on the audit's age. Whoever appends writes a
 * checkpoint when much has come since the last one (O5); an audit without any is read whole once.
 */
import {
  AUDIT_SCHEMA,
  type AuditRecord,
  AuditState,
  type Checkpoint,
  type Horizon,
  type Operation,
  type Operator,
  type Progress,
} from './audit.ts'
import { CHECKPOINT_KEY, checkpointRecords, isLastPart } from './audit-checkpoint.ts'
import { type Fold, FoldedTopic, type FoldedTopicClients } from './folded-topic.ts'
import type { PartitionBounds } from './kafka/admin.ts'
import type { ProduceRecord } from './kafka/produce-record.ts'
import { Pauses } from './pauses.ts'
import { AUDIT_TOPIC } from './topics.ts'

export interface AuditLogClients extends FoldedTopicClients {
  /** For those who append: who they are, and since when operations on a processor matter (O6). */
  readonly keeper?: { readonly by: Operator; horizonOf(processor: string): Promise<Horizon> }
}

/** Where a fold begins. */
interface Restorable extends Fold<AuditRecord> {
  restore(part: Checkpoint): void
}

/** Records after which the next append writes a checkpoint. */
export const CHECKPOINT_RECORDS = 1_000
/** A checkpoint of many operations is written more seldom: what it takes to read one bounds what is read behind it. */
const RECORDS_PER_OPERATION = 4
/** How far from the end a checkpoint is looked for first; then further and further. */
const TAIL_RECORDS = 2 * CHECKPOINT_RECORDS
const TAIL_GROWTH = 8
/** Operations in memory before those are forgotten that no longer matter. */
const OPERATIONS_MAX = 1_000

export class AuditLog {
  readonly #topic: FoldedTopic<AuditRecord>
  readonly #keeper: AuditLogClients['keeper']
  /** What was read last, and how many records behind the last checkpoint. */
  #known: { readonly state: AuditState; readonly through: number; readonly behind: number } | undefined

  constructor({ keeper, ...clients }: AuditLogClients) {
    const keyOf = ({ kind, processor }: AuditRecord): string =>
      kind === 'CHECKPOINT' ? CHECKPOINT_KEY : processor
    this.#topic = new FoldedTopic(AUDIT_TOPIC, AUDIT_SCHEMA, keyOf, clients)
    this.#keeper = keeper
  }

  /** Everything up to the present end, and at least through `offset`: an open transaction may hold that back a while. */
  async read(offset = -1): Promise<AuditState> {
    const bounds = await this.#topic.bounds()
    const through = Math.max(bounds.high, offset + 1)
    const state = new AuditState()
    const from = await this.#restore(state, bounds)
    let sizeMax = OPERATIONS_MAX
    for await (const _ of this.#topic.fold(state, { from, until: through })) {
      if (state.size <= sizeMax) continue
      await this.#forget(state)
      sizeMax = Math.max(OPERATIONS_MAX, 2 * state.size)
    }
    this.#known = { state, through, behind: through - from }
    return state
  }

  /** How far an operation came with each of its batches, in their order. */
  async batches({ id }: Operation): Promise<Progress[]> {
    const batches: Progress[] = []
    const fold: Fold<AuditRecord> = {
      apply(_offset, _at, { operation, progress }) {
        if (operation === id && progress !== null) batches.push(progress)
      },
    }
    const { high } = await this.#topic.bounds()
    for await (const _ of this.#topic.fold(fold, { from: id, until: high }));
    return batches
  }

  /** Follows who is paused: `onPauses` is called with every batch, once the present end is reached. */
  async followPauses(signal: AbortSignal, onPauses: (pauses: Pauses) => void): Promise<void> {
    const pauses = new Pauses()
    const from = await this.#restore(pauses, await this.#topic.bounds())
    await this.#topic.follow(pauses, { from, signal }, () => onPauses(pauses))
  }

  /** Appends a record outside any transaction; returns its offset. */
  async append(record: AuditRecord): Promise<number> {
    const offset = await this.#topic.append(record)
    await this.#checkpoint()
    return offset
  }

  /** Reads it where it is long, and writes a checkpoint where much has come since the last one. */
  async keepShort(): Promise<void> {
    const { low, high } = await this.#topic.bounds()
    if (high - low <= CHECKPOINT_RECORDS) return
    await this.read()
    await this.#checkpoint()
  }

  /** Registers the schema, so that `encode` can name it. */
  async prepare(): Promise<void> {
    await this.#topic.prepare()
  }

  /** The record as it stands in the topic, under the processor's name; `prepare` must have been called. */
  encode(record: AuditRecord): Omit<ProduceRecord, 'headers'> {
    return this.#topic.encode(record)
  }

  /** Takes the last checkpoint, if there is one; returns the offset from which its reader goes on. */
  async #restore(state: Restorable, bounds: PartitionBounds): Promise<number> {
    const found = await this.#lastCheckpoint(bounds)
    if (found === undefined) return bounds.low
    const { nonce, parts, through } = found.checkpoint
    const taken: Checkpoint[] = []
    for await (const { checkpoint } of this.#checkpoints(through, found.offset + 1)) {
      if (checkpoint.nonce === nonce) taken.push(checkpoint)
    }
    // Retention may have taken the first ones of an audit that is not kept for ever.
    if (taken.length !== parts) return bounds.low
    for (const part of taken) state.restore(part)
    return through
  }

  /** The last part of the last checkpoint. Not looked for before the half: to read on from there is no dearer. */
  async #lastCheckpoint({ low, high }: PartitionBounds): Promise<PlacedCheckpoint | undefined> {
    const half = low + Math.floor((high - low) / 2)
    let until = high
    for (let records = TAIL_RECORDS; until > half; records *= TAIL_GROWTH) {
      const from = Math.max(half, until - records)
      let last: PlacedCheckpoint | undefined
      for await (const placed of this.#checkpoints(from, until)) {
        if (isLastPart(placed.checkpoint)) last = placed
      }
      if (last !== undefined) return last
      until = from
    }
    return undefined
  }

  async *#checkpoints(from: number, until: number): AsyncGenerator<PlacedCheckpoint> {
    let found: PlacedCheckpoint[] = []
    const gather = {
      apply(offset: number, _at: number, { checkpoint }: AuditRecord): void {
        if (checkpoint !== null) found.push({ offset, checkpoint })
      },
    }
    for await (const _ of this.#topic.fold(gather, { from, until, key: CHECKPOINT_KEY })) {
      yield* found
      found = []
    }
  }

  /** Writes a checkpoint of what was read last, if it is due. Where that fails the next one who appends tries again. */
  async #checkpoint(): Promise<void> {
    if (this.#known === undefined || this.#keeper === undefined) return
    const { state, through, behind } = this.#known
    if (behind <= CHECKPOINT_RECORDS) return
    this.#known = undefined
    try {
      await this.#forget(state)
      if (behind <= RECORDS_PER_OPERATION * state.size) return
      await this.#topic.append(...checkpointRecords(state, through, this.#keeper.by))
    } catch {
      // Nothing depends on it.
    }
  }

  async #forget(state: AuditState): Promise<void> {
    if (this.#keeper === undefined) return
    for (const processor of state.endedOn) state.forget(processor, await this.#keeper.horizonOf(processor))
  }
}

interface PlacedCheckpoint {
  readonly offset: number
  readonly checkpoint: Checkpoint
}
