import assert from 'node:assert/strict'
import { TransactionSize } from '@sallyport/processor/transaction-size'

describe('the size of transactions', () => {
  it('is halved by each that ran out of time, down to one outcome and one partition', () => {
    const size = new TransactionSize(1_000, 500)
    const { outcomesMax, bytesMax } = size
    assert.equal(size.failed(1_000), true)
    assert.deepEqual(
      [size.outcomesMax, size.bytesMax, size.partitionsMax],
      [outcomesMax / 2, bytesMax / 2, 250],
    )
    while (size.failed(1_000));
    assert.deepEqual([size.outcomesMax, size.partitionsMax], [1, 1])
  })

  it('stays where a transaction failed early: it was not its size', () => {
    const size = new TransactionSize(1_000, 500)
    assert.equal(size.failed(500), false)
    assert.equal(size.partitionsMax, 500)
  })

  it('is doubled again by those that end in a small part of their time, up to what it was', () => {
    const size = new TransactionSize(1_000, 500)
    size.failed(1_000)
    size.failed(1_000)
    size.committed(500)
    assert.equal(size.partitionsMax, 125)
    size.committed(100)
    assert.equal(size.partitionsMax, 250)
    size.committed(100)
    size.committed(100)
    assert.equal(size.partitionsMax, 500)
  })
})
