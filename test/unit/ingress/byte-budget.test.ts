import assert from 'node:assert/strict'
import { heldBodies } from '@sallyport/core/metrics'
import { ByteBudget, type ByteShare, type Holding } from '@sallyport/ingress/byte-budget'

describe('the budget of bytes in flight', () => {
  let budget: ByteBudget
  let before: number
  let givenUp: string[]

  beforeEach(() => {
    budget = new ByteBudget(100)
    before = heldBodies.bytes
    givenUp = []
  })
  afterEach(() => {
    heldBodies.bytes = before
  })

  function share(bytesMax: number): ByteShare {
    return { bytesMax, bytes: 0, arriving: new Set() }
  }

  function body(name: string, bytes: number, of: ByteShare | null = null, headBytes = 0): Holding {
    const holding = budget.open(of, headBytes, () => {
      givenUp.push(name)
      budget.close(holding)
    })
    assert.equal(budget.take(holding, bytes), 'taken')
    return holding
  }

  it('R4: gives up the body that has been arriving for the longest, and never one that has arrived', () => {
    const arrived = body('arrived', 40)
    budget.arrived(arrived, 40)
    body('old', 30)
    body('young', 30)
    body('new', 20)
    assert.deepEqual(givenUp, ['old'])
    assert.equal(budget.take(arrived, 61), 'all')
    budget.close(arrived)
    assert.deepEqual(givenUp, ['old', 'young', 'new'])
  })

  it('R4: an address whose share is used up gives up its own, not another’s', () => {
    const one = share(50)
    body('another’s', 30, share(50))
    body('first', 40, one)
    const second = body('second', 30, one)
    assert.deepEqual(givenUp, ['first'])
    budget.arrived(second, 30)
    const third = budget.open(one, 0, () => {})
    assert.equal(budget.take(third, 30), 'share')
    assert.equal(one.bytes, 30)
  })

  it('holds the head of a request beside its body, until it is answered', () => {
    const one = share(100)
    const holding = body('a', 40, one, 15)
    budget.arrived(holding, 10)
    assert.deepEqual([one.bytes, heldBodies.bytes - before], [25, 25])
    budget.close(holding)
    assert.deepEqual([one.bytes, heldBodies.bytes - before], [0, 0])
  })

  it('R5: gives everything back once, however often it is asked to', () => {
    const one = share(50)
    const holding = body('a', 40, one)
    budget.arrived(holding, 10)
    assert.equal(heldBodies.bytes - before, 10)
    for (let i = 0; i < 3; i++) budget.close(holding)
    assert.equal(heldBodies.bytes, before)
    assert.equal(one.bytes, 0)
    body('all', 100)
    assert.deepEqual(givenUp, [])
    assert.equal(
      budget.take(
        budget.open(null, 0, () => {}),
        100,
      ),
      'taken',
    )
    assert.deepEqual(givenUp, ['all'])
  })
})
