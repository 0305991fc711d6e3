import assert from 'node:assert/strict'
import { Watermark } from '@sallyport/processor/watermark'
import fc from 'fast-check'

function records(offsets: readonly number[]) {
  return offsets.map(offset => ({ offset, timestamp: 1_000 + offset }))
}

describe('watermark', () => {
  it('passes a record only when it and all before it are settled, in whatever order they are', () => {
    const offsets = fc
      .uniqueArray(fc.nat(10_000), { minLength: 1, maxLength: 200 })
      .map(list => list.sort((a, b) => a - b))
    fc.assert(
      fc.property(offsets, fc.infiniteStream(fc.nat()), (taken, random) => {
        const watermark = new Watermark(0)
        watermark.take(records(taken), (taken.at(-1) as number) + 1)
        const open = [...taken]
        while (open.length > 0) {
          const [offset] = open.splice((random.next().value as number) % open.length, 1)
          watermark.settle(offset as number)
          assert.equal(watermark.position, open[0] ?? (taken.at(-1) as number) + 1)
        }
      }),
    )
  })

  it('knows the append time of the first record that is not settled', () => {
    const watermark = new Watermark(0)
    assert.equal(watermark.oldestAt, undefined)
    watermark.take(records([0, 1]), 2)
    watermark.settle(0)
    assert.equal(watermark.oldestAt, 1_001)
    watermark.settle(1)
    assert.equal(watermark.oldestAt, undefined)
  })

  it('passes the markers behind the last record', () => {
    const watermark = new Watermark(5)
    watermark.take(records([5, 6]), 9)
    watermark.settle(5)
    watermark.settle(6)
    assert.equal(watermark.position, 9)
  })

  it('stands at its beginning until something is settled', () => {
    const watermark = new Watermark(42)
    assert.equal(watermark.position, 42)
    watermark.take(records([50]), 51)
    assert.equal(watermark.position, 50)
  })

  it('settling what was never taken is a defect, not a step forward', () => {
    const watermark = new Watermark(0)
    watermark.take(records([1]), 2)
    assert.throws(() => watermark.settle(3), RangeError)
  })
})
