import assert from 'node:assert/strict'
import { AUDIT_SCHEMA, AuditState } from '@sallyport/core/audit'
import { BY, auditRecord as record, SELECTION } from '../../support/audit-records.ts'

const started = record({ selection: SELECTION, ranges: [{ partition: 2, from: 0, until: 9 }], count: 4 })

describe('what operators did', () => {
  it('an operation is open from its start to its end, and knows how far it is', () => {
    const state = new AuditState()
    state.apply(7, 1_000, started)
    assert.equal(state.openOperation('p')?.id, 7)
    state.apply(8, 1_001, record({ operation: 7, step: 'RUNNING', by: { ...BY, pid: 2 } }))
    const progress = { partition: 2, through: 5, laneEnd: 3 }
    state.apply(
      9,
      1_002,
      record({ operation: 7, step: 'PROGRESS', by: { ...BY, pid: 2 }, progress, count: 3 }),
    )
    const open = state.openOperation('p')
    assert.equal(open?.handled, 3)
    assert.equal(open?.lastBy.pid, 2)
    assert.deepEqual(open?.progress.get(2), progress)
    state.apply(11, 1_003, record({ operation: 7, step: 'FINISHED', count: 4 }))
    assert.equal(state.openOperation('p'), undefined)
    assert.equal(state.operation(7)?.state, 'finished')
  })

  it('of several open operations on a processor the oldest counts (O2); other processors are not concerned', () => {
    const state = new AuditState()
    state.apply(3, 1, started)
    state.apply(4, 2, started)
    assert.equal(state.openOperation('p')?.id, 3)
    assert.equal(state.openOperation('q'), undefined)
    state.apply(5, 3, record({ operation: 3, step: 'CANCELLED' }))
    assert.equal(state.openOperation('p')?.id, 4)
  })

  it('a record at offset 0 is no operation: its generation would mean none (O1)', () => {
    const state = new AuditState()
    state.apply(0, 1, started)
    assert.equal(state.openOperation('p'), undefined)
  })

  it('a closed operation stays closed, whoever writes on', () => {
    const state = new AuditState()
    state.apply(3, 1, started)
    state.apply(4, 2, record({ operation: 3, step: 'CANCELLED' }))
    state.apply(5, 3, record({ operation: 3, step: 'FINISHED', count: 4 }))
    assert.equal(state.operation(3)?.state, 'cancelled')
    assert.equal(state.operation(3)?.handled, 0)
  })

  it('a processor is paused as the last word of an operator says', () => {
    const state = new AuditState()
    assert.equal(state.pauseOf('p'), undefined)
    state.apply(1, 10, record({ kind: 'PAUSE', step: 'FINISHED', why: 'the database moves' }))
    assert.deepEqual(state.pauseOf('p'), { paused: true, by: BY, why: 'the database moves', at: 10 })
    state.apply(2, 20, record({ kind: 'RESUME', step: 'FINISHED' }))
    assert.equal(state.pauseOf('p')?.paused, false)
  })

  it('what a later version writes is passed over', () => {
    const state = new AuditState()
    state.apply(1, 1, record({ kind: 'UNKNOWN', step: 'UNKNOWN' }))
    state.apply(2, 1, record({ operation: 99, step: 'FINISHED' }))
    assert.deepEqual(state.operations('p'), [])
  })

  it('a record survives its Avro form', () => {
    const full = record({
      operation: 3,
      step: 'PROGRESS',
      selection: { ...SELECTION, text: 'x', from: 5 },
      progress: { partition: 1, through: 2, laneEnd: 3 },
    })
    const back = AUDIT_SCHEMA.type.fromBuffer(AUDIT_SCHEMA.type.toBuffer(full))
    assert.deepEqual(JSON.parse(JSON.stringify(back)), full)
  })
})
