import assert from 'node:assert/strict'
import { BodyBuffer } from '@sallyport/ingress/body-buffer'
import fc from 'fast-check'

const lengths = fc.array(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 90_000 })), {
  minLength: 1,
  maxLength: 60,
})

describe('a body that arrives', () => {
  it('is the same bytes, however it is cut, and what it holds follows from what arrived, whatever was declared', () => {
    fc.assert(
      fc.property(lengths, fc.integer({ min: 0, max: 10_000_000 }), (cuts, more) => {
        const total = cuts.reduce((sum, length) => sum + length, 0)
        const bytes = Buffer.alloc(total)
        for (let i = 0; i < total; i += 97) bytes[i] = i
        const body = new BodyBuffer(total + more)
        let from = 0
        for (const length of cuts) {
          const before = body.held
          const growth = body.growth(length)
          body.add(bytes.subarray(from, from + length))
          from += length
          assert.equal(body.held - before, growth)
          assert.ok(body.held >= body.bytes)
          assert.ok(
            body.held <= Math.max(1_024, 2 * body.bytes, body.bytes + 65_536),
            `${body.held} of ${body.bytes}`,
          )
        }
        assert.equal(body.bytes, total)
        assert.deepEqual(body.whole(), bytes)
      }),
    )
  })

  it('holds no Buffer for each chunk: ten thousand bytes that come one by one take less than twenty blocks', () => {
    const body = new BodyBuffer(1_048_576)
    let growths = 0
    for (let i = 0; i < 10_000; i++) {
      if (body.growth(1) > 0) growths++
      body.add(Buffer.from('x'))
    }
    assert.ok(growths < 20, String(growths))
    assert.equal(body.held, 16_384)
  })

  it('that comes in one piece of the declared length is not copied', () => {
    const piece = Buffer.from('{"id":1}')
    const body = new BodyBuffer(piece.length)
    body.add(piece)
    const whole = body.whole()
    assert.deepEqual([whole.buffer, whole.byteOffset], [piece.buffer, piece.byteOffset])
  })
})
