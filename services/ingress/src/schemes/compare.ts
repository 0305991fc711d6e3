import { timingSafeEqual } from 'node:crypto'

/**
 * Comparing secrets in constant time. The lengths are not secret: they follow from the algorithm. The scratch
 * space is shared, which is safe because nothing here awaits.
 */

const SCRATCH_MAX = 512
const scratch = new Map<number, readonly [Buffer, Buffer]>()

function scratchOf(length: number): readonly [Buffer, Buffer] {
  let pair = scratch.get(length)
  if (pair === undefined) {
    pair = [Buffer.alloc(length), Buffer.alloc(length)]
    if (length <= SCRATCH_MAX) scratch.set(length, pair)
  }
  return pair
}

/** Whether two texts are equal. `expected` is ASCII; `given` may be anything, and never makes this throw. */
export function equalAscii(given: string, expected: string): boolean {
  const length = expected.length
  if (given.length !== length) return false
  const [a, b] = scratchOf(length)
  // A character outside ASCII takes more bytes than it has room for, or leaves a byte unwritten.
  if (a.write(given, 0, length, 'utf8') !== length) return false
  if (b.write(expected, 0, length, 'latin1') !== length) return false
  return timingSafeEqual(a, b)
}

/** Whether two byte strings are equal, in a time that depends on their lengths only. */
export function equalBytes(given: Uint8Array, expected: Uint8Array): boolean {
  return given.length === expected.length && timingSafeEqual(given, expected)
}
