/**
 * SHA-256 (FIPS 180-4), taken up where a digest ended: whoever knows hash(secret + body) and the length of both can give
 * hash(secret + body + padding + more) without the secret. The attack on every plain hash behind a secret.
 */

const primes: readonly number[] = Array.from({ length: 310 }, (_, i) => i + 2).filter(n => {
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false
  return true
})
const K = primes.slice(0, 64).map(prime => Math.floor((Math.cbrt(prime) % 1) * 2 ** 32) | 0)

/** What a hash of `bytes` bytes is padded with. */
export function paddingOf(bytes: number): Buffer {
  const padding = Buffer.alloc(((119 - (bytes % 64)) % 64) + 9)
  padding[0] = 0x80
  padding.writeBigUInt64BE(BigInt(bytes) * 8n, padding.length - 8)
  return padding
}

/** The hex digest of a text whose first `bytes` bytes, padding included, hash to `digest`, and which goes on with `more`. */
export function extend(digest: string, bytes: number, more: Buffer): string {
  const state = new Int32Array(8).map((_, i) => Number.parseInt(digest.slice(i * 8, i * 8 + 8), 16) | 0)
  const rest = Buffer.concat([more, paddingOf(bytes + more.length)])
  for (let at = 0; at < rest.length; at += 64) compress(state, rest.subarray(at, at + 64))
  return [...state].map(word => (word >>> 0).toString(16).padStart(8, '0')).join('')
}

const rotate = (word: number, by: number) => (word >>> by) | (word << (32 - by))

function compress(state: Int32Array, block: Buffer): void {
  const w = new Int32Array(64)
  for (let i = 0; i < 64; i++) w[i] = i < 16 ? block.readInt32BE(i * 4) : schedule(w, i)
  let [a, b, c, d, e, f, g, h] = state as unknown as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  for (let i = 0; i < 64; i++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + (K[i] as number) + (w[i] as number)) | 0
    const t2 = ((rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0
    ;[h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0]
  }
  for (const [i, word] of [a, b, c, d, e, f, g, h].entries()) state[i] = ((state[i] as number) + word) | 0
}

function schedule(w: Int32Array, i: number): number {
  const [x, y] = [w[i - 15] as number, w[i - 2] as number]
  const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3)
  const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10)
  return ((w[i - 16] as number) + s0 + (w[i - 7] as number) + s1) | 0
}
