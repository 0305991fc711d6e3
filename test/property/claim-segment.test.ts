/** Earlier entries that a table takes in, against a plain map (E1, E2, N5). */
import assert from 'node:assert/strict'
import { ClaimSegment } from '@sallyport/processor/claim-segment'
import fc from 'fast-check'

const WORD_MAX = 2 ** 32 - 1

/** Homes all over the table, and many of them at its end, where room must be made by building it anew. */
const home = fc.oneof(fc.nat({ max: WORD_MAX }), fc.integer({ min: WORD_MAX - 3, max: WORD_MAX }))
const hashes = (maxLength: number) =>
  fc.uniqueArray(fc.tuple(fc.nat({ max: 3 }), home, fc.nat({ max: 3 }), fc.nat({ max: 3 })), {
    maxLength,
    size: 'max',
    selector: String,
  })

function filled(entries: readonly (readonly number[])[], generation: number): ClaimSegment {
  const segment = new ClaimSegment()
  for (const hash of entries) {
    segment.set(Uint32Array.from(hash), { dead: false, generation, attempt: 1, expiresAt: 1 }, 0)
  }
  return segment
}

describe('a part of the claims', function () {
  this.timeout(60_000)

  it('keeps what it holds and takes every other earlier entry in, however crowded the end of its table is', () => {
    fc.assert(
      fc.property(hashes(120), hashes(120), (earlier, later) => {
        const segment = filled(later, 2)
        segment.addOlder(filled(earlier, 1).entries(0))
        const expected = new Map([
          ...earlier.map(hash => [String(hash), 1] as const),
          ...later.map(hash => [String(hash), 2] as const),
        ])
        assert.equal(segment.count, expected.size)
        for (const hash of [...earlier, ...later]) {
          assert.equal(segment.get(Uint32Array.from(hash))?.generation, expected.get(String(hash)))
        }
      }),
      { numRuns: 500 },
    )
  })
})
