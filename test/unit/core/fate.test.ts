import assert from 'node:assert/strict'
import { Fates } from '@sallyport/core/kafka/transactions/fate'

const PRODUCER = 7n

describe('the fate of a transaction', () => {
  /** Of the transaction of an epoch, after the coordinator has said these states of the id and its epoch. */
  function fateOf(epoch: number, version: 1 | 2, ...told: [string, number][]) {
    const fates = new Fates(version)
    for (const [state, at] of told) fates.tell({ code: 0, state, producerId: PRODUCER, epoch: at })
    return fates.of({ producerId: PRODUCER, epoch })
  }

  it('is that of the id’s last one, or that of an owner that went on: committed', () => {
    assert.equal(fateOf(4, 2, ['CompleteCommit', 5]), 'commit')
    assert.equal(fateOf(3, 2, ['CompleteCommit', 5]), 'commit')
    assert.equal(fateOf(4, 2, ['CompleteAbort', 5]), 'abort')
    assert.equal(fateOf(3, 2, ['CompleteAbort', 5]), 'commit')
    assert.equal(fateOf(5, 2, ['Ongoing', 5]), 'abort')
    assert.equal(fateOf(4, 2, ['Ongoing', 5]), 'commit')
  })

  it('with version 1 is an abort whether its owner or the coordinator ended it', () => {
    assert.equal(fateOf(5, 1, ['CompleteAbort', 5]), 'abort')
    assert.equal(fateOf(4, 1, ['CompleteAbort', 5]), 'abort')
    assert.equal(fateOf(4, 1, ['Empty', 5]), 'commit')
  })

  it('is not known after a take-over, but to whom it was told before', () => {
    assert.equal(fateOf(3, 2, ['Empty', 5]), undefined)
    assert.equal(fateOf(3, 2, ['Ongoing', 3], ['Empty', 5]), 'abort')
    assert.equal(fateOf(3, 2, ['CompleteCommit', 4], ['Empty', 6], ['Empty', 7]), 'commit')
  })

  it('stays, whatever other owners have done since', () => {
    assert.equal(fateOf(3, 2, ['Ongoing', 3], ['CompleteCommit', 8]), 'abort')
    assert.equal(fateOf(7, 2, ['Ongoing', 3], ['CompleteCommit', 8]), 'commit')
  })

  it('is that of the same producer alone', () => {
    const fates = new Fates(2)
    fates.tell({ code: 0, state: 'CompleteCommit', producerId: 8n, epoch: 5 })
    assert.equal(fates.of({ producerId: PRODUCER, epoch: 3 }), undefined)
    assert.deepEqual(fates.producerIds, new Set([8n]))
  })

  it('is kept of the last hundred answers, and not guessed of those before', () => {
    const told = Array.from({ length: 110 }, (_, i): [string, number] => ['Ongoing', i])
    assert.equal(fateOf(109, 2, ...told), 'abort')
    assert.equal(fateOf(10, 2, ...told), 'abort')
    assert.equal(fateOf(9, 2, ...told), undefined)
  })
})
