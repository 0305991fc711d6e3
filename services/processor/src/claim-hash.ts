/**
 * What a claim is filed under: 128 bits of SHA-256 over a secret key and the event id. 128, not 64: two ids with one
 * hash would be one event, and the second were lost. Keyed, because senders choose parts of their ids: without the
 * key nobody can make ids that collide, or that crowd one place of the table.
 */
import { hash, randomBytes } from 'node:crypto'

/** Words of 32 bits in a hash. */
export const HASH_WORDS = 4

export class ClaimHash {
  /** Goes with every table and checkpoint that was made with it; the length of one hash, in hexadecimal. */
  readonly key: string
  /** The words of the last `of`. */
  readonly words = new Uint32Array(HASH_WORDS)

  constructor(key: string = randomBytes(16).toString('hex')) {
    this.key = key
  }

  /** Puts the hash of an event id into `words`: no allocation but the digest's, some 0.8 µs. */
  of(eventId: string): Uint32Array {
    // As a Latin-1 string a digest costs a third of a Buffer.
    const digest = hash('sha256', this.key + eventId, 'binary')
    for (let i = 0; i < HASH_WORDS; i++) {
      const at = i * 4
      this.words[i] =
        (digest.charCodeAt(at) << 24) |
        (digest.charCodeAt(at + 1) << 16) |
        (digest.charCodeAt(at + 2) << 8) |
        digest.charCodeAt(at + 3)
    }
    return this.words
  }
}
