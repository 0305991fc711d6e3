/**
 * Where an event stands among all: by the ms in which Kafka took it, then by a number of its own within that ms. It
 * fits into a JavaScript number until the year 2109.
 */
const PLACES_PER_MS = 2_048
const MS_MAX = 2 ** 42 - 1

/** The first place to try for a record; the next ones are free to it too. */
export function sequence(ms: number, partition: number, offset: number): number {
  const clamped = Math.min(Math.max(0, Math.trunc(ms)), MS_MAX)
  return clamped * PLACES_PER_MS + ((partition * 131 + offset) % PLACES_PER_MS)
}

/** The first place of a ms. */
export function sequenceStart(ms: number): number {
  return sequence(ms, 0, 0)
}

/** The ms of a place. */
export function sequenceMs(seq: number): number {
  return Math.floor(seq / PLACES_PER_MS)
}
