import assert from 'node:assert/strict'
import { PositionHold } from '@sallyport/processor/position-hold'

const LIMIT_MS = 800

describe('how long a position has been held', () => {
  it('is told of all records that were taken before the limit, and of none that was taken since', () => {
    const hold = new PositionHold()
    assert.equal(hold.look({ now: 0, position: 3, front: 3 }, LIMIT_MS), undefined)
    assert.equal(hold.at(3), null)
    assert.equal(hold.look({ now: 100, position: 3, front: 10 }, LIMIT_MS), undefined)
    assert.deepEqual(hold.at(3), { since: 100, below: 10 })
    assert.equal(hold.look({ now: 500, position: 4, front: 20 }, LIMIT_MS), undefined)
    assert.equal(hold.look({ now: 899, position: 4, front: 30 }, LIMIT_MS), undefined)
    assert.equal(hold.look({ now: 900, position: 4, front: 30 }, LIMIT_MS), 10)
    assert.equal(hold.look({ now: 1_300, position: 4, front: 30 }, LIMIT_MS), 20)
  })

  it('ends when the position has passed what held it', () => {
    const hold = new PositionHold()
    hold.look({ now: 0, position: 3, front: 10 }, LIMIT_MS)
    assert.equal(hold.at(10), null)
    assert.equal(hold.look({ now: 900, position: 10, front: 10 }, LIMIT_MS), undefined)
    assert.equal(hold.look({ now: 1_000, position: 10, front: 12 }, LIMIT_MS), undefined)
    assert.deepEqual(hold.at(10), { since: 1_000, below: 12 })
  })

  it('goes on with the next owner: many that die early hold it no longer than one that lives', () => {
    // Setup: a record of which every owner dies before the limit. Timeline: the second one begins with what the first one
    // saw. Proves: the limit is reached over both; one that counted anew would hold the position for ever.
    const first = new PositionHold()
    first.look({ now: 0, position: 3, front: 10 }, LIMIT_MS)
    const second = new PositionHold(first.at(3))
    assert.equal(second.look({ now: 700, position: 3, front: 4 }, LIMIT_MS), undefined)
    assert.equal(second.look({ now: 800, position: 3, front: 4 }, LIMIT_MS), 10)
  })

  it('takes a bounded number of looks to tell', () => {
    const hold = new PositionHold()
    for (let i = 1; i < 10_000; i++) hold.look({ now: i, position: 0, front: i }, LIMIT_MS)
    assert.equal(hold.look({ now: 10_000, position: 0, front: 10_000 }, LIMIT_MS), 9_101)
    assert.ok((hold.at(0)?.since ?? 0) > 9_000)
  })
})
