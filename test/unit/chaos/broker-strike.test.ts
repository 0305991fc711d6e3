import assert from 'node:assert/strict'
import { isEndingAt } from '../../chaos/processor/broker-faults.ts'
import { chooseBroker } from '../../chaos/processor/broker-strike.ts'
import { coordinatorPartition } from '../../support/coordinator.ts'

describe('a strike at a broker', () => {
  const targets = {
    pids: {},
    coordinators: { 'sallyport.chaos-2': 1 },
    leaders: { 'claims/2': 1, 'out/2': 0, 'out/5': 2 },
  }

  it('is for the coordinator of the transaction under way', () => {
    const underWay = { transactionalId: 'sallyport.chaos-2', written: ['claims/2'] }
    assert.equal(chooseBroker('coordinator', targets, underWay), 1)
    assert.equal(chooseBroker('coordinator', targets, { ...underWay, transactionalId: 'other' }), undefined)
  })

  it('is for a leader that does not coordinate, where one was written to', () => {
    const transactionalId = 'sallyport.chaos-2'
    assert.equal(chooseBroker('leader', targets, { transactionalId, written: ['claims/2'] }), undefined)
    assert.equal(chooseBroker('leader', targets, { transactionalId, written: ['claims/2', 'out/5'] }), 2)
    assert.equal(chooseBroker('leader', targets, { transactionalId, written: ['elsewhere/1'] }), undefined)
  })

  it('finds the coordinator where Kafka does', () => {
    // Kafka's own `Utils.abs(id.hashCode()) % 10`.
    const ids = ['sallyport.chaos-0', 'sallyport.chaos-2', 'sallyport.chaos-5', 'polygenelubricants']
    assert.deepEqual(
      ids.map(id => coordinatorPartition(id, 10)),
      [7, 9, 2, 0],
    )
  })

  it('was between EndTxn and its markers when the end was prepared before and completed after', () => {
    const states = [
      { status: 'Ongoing', at: 100 },
      { status: 'PrepareCommit', at: 110 },
      { status: 'CompleteCommit', at: 130 },
      { status: 'Ongoing', at: 140 },
    ]
    assert.equal(isEndingAt(states, 105), false)
    assert.equal(isEndingAt(states, 112), true)
    assert.equal(isEndingAt(states, 135), false)
    assert.equal(isEndingAt(states.slice(0, 2), 112), undefined)
  })
})
