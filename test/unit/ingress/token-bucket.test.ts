import assert from 'node:assert/strict'
import { TokenBucket } from '@sallyport/ingress/token-bucket'
import fc from 'fast-check'

describe('token bucket', () => {
  it('gives its burst at once, then its rate, and says how long to wait', () => {
    let now = 0
    const bucket = new TokenBucket({ perSecond: 2, burst: 3 }, () => now)
    assert.deepEqual([bucket.take(), bucket.take(), bucket.take()], [0, 0, 0])
    assert.equal(bucket.take(), 500)
    now = 500
    assert.equal(bucket.take(), 0)
    assert.equal(bucket.take(), 500)
  })

  it('never gives more than burst plus rate times time, whatever the clock does', () => {
    const steps = fc.array(fc.integer({ min: -5_000, max: 5_000 }), { maxLength: 200 })
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 50 }),
        steps,
        (perSecond, burst, jumps) => {
          let now = 0
          let forwardMs = 0
          const bucket = new TokenBucket({ perSecond, burst }, () => now)
          let given = 0
          for (const jump of jumps) {
            now += jump
            forwardMs += Math.max(0, jump)
            if (bucket.take() === 0) given++
          }
          assert.ok(given <= burst + (forwardMs * perSecond) / 1_000 + 1e-6)
        },
      ),
    )
  })
})
