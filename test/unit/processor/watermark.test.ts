import assert from 'node:assert/strict'
import { Watermark } from '@sallyport/processor/watermark'
import fc from 'fast-check'

describe('watermark', () => {
  it('passes a record only when it and all before it are settled, in whatever order they are', () => {
    const offsets = fc
      .uniqueArray(fc.nat(10_000), { minLength: 1, maxLength: 200 })
      .map(list => list.sort((a, b) => a - b))
    fc.assert(
      fc.property(offsets, fc.infiniteStream(fc.nat()), (taken, random) => {
        const watermark = new Watermark(0)
        watermark.take(taken, (taken.at(-1) as number) + 1)
        const open = [...taken]
        while (open.length > 0) {
          const [offset] = open.splice((random.next().value as number) % open.length, 1)
          watermark.settle(offset as number)
          assert.equal(watermark.position, open[0] ?? (taken.at(-1) as number) + 1)
        }
      }),
    )
  })

  it('passes the markers behind the last record', () => {
    const watermark = new Watermark(5)
    watermark.take([5, 6], 9)
    watermark.settle(5)
    watermark.settle(6)
    assert.equal(watermark.position, 9)
  })

  it('stands at its beginning until something is settled', () => {
    const watermark = new Watermark(42)
    assert.equal(watermark.position, 42)
    watermark.take([50], 51)
    assert.equal(watermark.position, 50)
  })

  it('settling what was never taken is a defect, not a step forward', () => {
    const watermark = new Watermark(0)
    watermark.take([1], 2)
    assert.throws(() => watermark.settle(3), RangeError)
  })
})
