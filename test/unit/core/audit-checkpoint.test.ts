/** Checkpoints in the audit: where a fold begins, and what it may forget. */
import assert from 'node:assert/strict'
import { AUDIT_SCHEMA, type AuditRecord, AuditState } from '@sallyport/core/audit'
import { checkpointRecords } from '@sallyport/core/audit-checkpoint'
import { AuditLog } from '@sallyport/core/audit-log'
import { encodeWire } from '@sallyport/core/codec'
import type { PartitionReader, ReadRequest } from '@sallyport/core/kafka/partition-reader'
import type { SchemaRegistry } from '@sallyport/core/kafka/registry'
import { AUDIT_TOPIC } from '@sallyport/core/topics'
import { BY, auditRecord as record, SELECTION } from '../../support/audit-records.ts'

const BATCH = 500

/** An audit in memory, which counts what is read of it. A record's time is its offset. */
class Audit {
  readonly records: AuditRecord[] = []
  readonly #values: Buffer[] = []
  recordsRead = 0

  append(...records: readonly AuditRecord[]): number {
    for (const one of records) {
      this.records.push(one)
      this.#values.push(encodeWire(7, AUDIT_SCHEMA.type, one))
    }
    return this.records.length - 1
  }

  /** An operation from its start to its end; returns its id. */
  operation(fields: Partial<AuditRecord> = {}, isEnded = true): number {
    const ranges = [{ partition: 1, from: 0, until: 9 }]
    const id = this.append(record({ selection: SELECTION, ranges, count: 4, ...fields }))
    const step = { ...fields, operation: id, count: 4 }
    const progress = { partition: 1, through: 9, laneEnd: 5 }
    this.append(record({ ...step, step: 'RUNNING' }), record({ ...step, step: 'PROGRESS', progress }))
    if (isEnded) this.append(record({ ...step, step: 'FINISHED' }), record({ ...step, step: 'REPORTED' }))
    return id
  }

  log(horizon?: number): AuditLog {
    this.recordsRead = 0
    const registry = { find: async () => AUDIT_SCHEMA } as unknown as SchemaRegistry
    const keeper = {
      by: BY,
      horizonOf: async () => ({ redrives: horizon as number, replays: (horizon as number) - 100 }),
    }
    return new AuditLog({ reader: this.#reader(), registry, ...(horizon === undefined ? {} : { keeper }) })
  }

  /** What reading every record comes to. */
  whole(): AuditState {
    const state = new AuditState()
    for (const [offset, one] of this.records.entries()) state.apply(offset, offset, one)
    return state
  }

  #reader(): PartitionReader {
    const read = async function* (this: Audit, { from, until, signal }: ReadRequest) {
      const end = until ?? this.#values.length
      for (let at = from; at < end && signal?.aborted !== true; at += BATCH) {
        const nextOffset = Math.min(at + BATCH, end)
        const records = this.#values.slice(at, nextOffset).map((value, i) => {
          const { kind, processor } = this.records[at + i] as AuditRecord
          const key = Buffer.from(kind === 'CHECKPOINT' ? '#checkpoint' : processor)
          return { offset: at + i, timestamp: at + i, key, value, headers: {} }
        })
        this.recordsRead += records.length
        yield { topic: AUDIT_TOPIC, partition: 0, records, nextOffset, highWatermark: end }
      }
    }
    return {
      bounds: async () => new Map([[0, { low: 0, high: this.#values.length }]]),
      read: read.bind(this),
    } as unknown as PartitionReader
  }
}

/** What counts of a state. */
const told = (state: AuditState) => JSON.parse(JSON.stringify(state.entries))

describe('a checkpoint of the audit', () => {
  it('spares its reader what lies before it, and tells the same: pauses, open operations, ended ones (O5)', async () => {
    const audit = new Audit()
    audit.append(record({ kind: 'PAUSE', processor: 'q', step: 'FINISHED', why: 'the database moves' }))
    const open = audit.operation({ processor: 'q', command: 'replay' }, false)
    while (audit.records.length < 20_000) audit.operation()
    const through = audit.records.length
    const state = await audit.log().read()
    // Somebody else appends while it is written, and goes on behind it.
    const parts = checkpointRecords(state, through, BY)
    assert.ok(parts.length > 1)
    for (const part of parts) {
      audit.append(part)
      audit.operation()
    }
    audit.append(record({ kind: 'PAUSE', processor: 'r', step: 'FINISHED' }))
    const known = await audit.log().read()
    assert.deepEqual(told(known), told(audit.whole()))
    assert.equal(known.pauseOf('q')?.why, 'the database moves')
    assert.equal(known.openOperation('q')?.id, open)
    assert.ok(audit.recordsRead < 5_000, `it read ${audit.recordsRead} records`)
  })

  it('spares a processor the same', async () => {
    const audit = new Audit()
    audit.append(record({ kind: 'PAUSE', step: 'FINISHED' }))
    while (audit.records.length < 20_000) audit.operation({ processor: 'q' })
    audit.append(...checkpointRecords(await audit.log(20_000).read(), audit.records.length, BY))
    const paused: (boolean | undefined)[] = []
    await audit.log().followPauses(AbortSignal.timeout(10_000), pauses => {
      paused.push(pauses.pauseOf('p')?.paused)
    })
    assert.deepEqual(paused, [true])
    assert.ok(audit.recordsRead < 7_000, `it read ${audit.recordsRead} records`)
  })

  it('whose last part never came is none; one that was written at the same time stands for itself', async () => {
    const audit = new Audit()
    audit.append(record({ kind: 'PAUSE', step: 'FINISHED' }))
    while (audit.records.length < 5_000) audit.operation()
    const state = await audit.log().read()
    const [one, other] = [checkpointRecords(state, 5_001, BY), checkpointRecords(state, 5_001, BY)]
    assert.ok(one.length > 1)
    for (const [i, part] of one.entries()) audit.append(part, other[i] as AuditRecord)
    audit.operation()
    audit.append(...checkpointRecords(await audit.log().read(), audit.records.length, BY).slice(0, -1))
    assert.deepEqual(told(await audit.log().read()), told(audit.whole()))
  })

  it('is not needed by an audit that is older than checkpoints', async () => {
    const audit = new Audit()
    audit.append(record({ kind: 'PAUSE', step: 'FINISHED' }))
    while (audit.records.length < 50_000) audit.operation()
    const state = await audit.log().read()
    assert.deepEqual(told(state), told(audit.whole()))
    assert.ok(audit.recordsRead < 2 * audit.records.length)
  })

  it('holds no operation that ended before the oldest dead letter, nor does memory meanwhile (O6)', async () => {
    const audit = new Audit()
    audit.append(record({ kind: 'RESUME', step: 'FINISHED' }))
    const open = audit.operation({}, false)
    while (audit.records.length < 50_000) audit.operation()
    const replay = audit.operation({ kind: 'REPLAY' })
    const kept = [audit.operation(), audit.operation()]
    const last = audit.operation({ processor: 'q' })
    // The oldest letter is newer than the replay, and older than the last redrives.
    const state = await audit.log(replay + 5).read()
    for (const processor of ['p', 'q']) {
      state.forget(processor, { redrives: replay + 5, replays: replay - 100 })
    }
    assert.deepEqual(
      state.operations('p').map(({ id }) => id),
      [open, replay, ...kept],
    )
    assert.deepEqual(
      state.operations('q').map(({ id }) => id),
      [last],
    )
    assert.ok((await audit.log(replay + 5).read()).size < 2_500)
    assert.ok((await audit.log().read()).size > 9_000)
  })
})
