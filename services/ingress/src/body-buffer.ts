const BLOCK_BYTES_MIN = 1_024
const BLOCK_BYTES_MAX = 65_536
/** Blocks of full length that are kept for the next body, instead of waiting to be collected. */
const SPARE_BLOCKS_MAX = 256
const spare: Buffer[] = []

/**
 * A body as it arrives. Chunks are copied into blocks: a chunk of one byte would else hold a hundred more for its
 * Buffer. A block is as long as everything before it, within limits, and never longer than what may still come; so what
 * a body holds follows from what has arrived of it, whatever length was declared and however it is cut.
 */
export class BodyBuffer {
  readonly #bytesMax: number
  readonly #blocks: Buffer[] = []
  #bytes = 0
  #held = 0
  /** Bytes free in the last block. */
  #free = 0

  /** `bytesMax`: the declared length, else the longest body. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Bytes that have arrived. */
  get bytes(): number {
    return this.#bytes
  }

  /** Bytes that the blocks take. */
  get held(): number {
    return this.#held
  }

  /** How many more bytes the blocks will take with a chunk of this length. */
  growth(length: number): number {
    return length <= this.#free ? 0 : this.#blockBytes(length - this.#free)
  }

  /** Adds a chunk; what the last block has no room for goes to a new one. */
  add(chunk: Buffer): void {
    const fitting = Math.min(chunk.length, this.#free)
    if (fitting > 0) {
      const block = this.#blocks.at(-1) as Buffer
      const at = block.length - this.#free
      if (chunk.length === 1) block[at] = chunk[0] as number
      else chunk.copy(block, at, 0, fitting)
      this.#free -= fitting
      this.#bytes += fitting
    }
    if (fitting < chunk.length) this.#open(chunk.subarray(fitting))
  }

  /** The whole body. Call it once, at the end. */
  whole(): Buffer {
    const [only] = this.#blocks
    if (this.#blocks.length === 1 && only !== undefined && this.#free === 0) {
      // It is the caller's now.
      this.#blocks.length = 0
      return only
    }
    return Buffer.concat(this.#blocks, this.#bytes)
  }

  /** Lets go of everything. */
  clear(): void {
    for (const block of this.#blocks) {
      if (spare.length < SPARE_BLOCKS_MAX && block.length === BLOCK_BYTES_MAX) spare.push(block)
    }
    this.#blocks.length = 0
    this.#bytes = 0
    this.#held = 0
    this.#free = 0
  }

  #open(rest: Buffer): void {
    const length = this.#blockBytes(rest.length)
    // A body that comes in one piece, as most do, is that piece.
    const block = this.#blocks.length === 0 && length === rest.length ? rest : blockOf(length)
    if (block !== rest) rest.copy(block)
    this.#blocks.push(block)
    this.#held += length
    this.#free = length - rest.length
    this.#bytes += rest.length
  }

  /** The length of a block that begins with `rest` bytes. */
  #blockBytes(rest: number): number {
    const before = this.#bytes + this.#free
    const room = this.#bytesMax - before
    return Math.max(rest, Math.min(room, BLOCK_BYTES_MAX, Math.max(BLOCK_BYTES_MIN, before)))
  }
}

function blockOf(length: number): Buffer {
  const kept = length === BLOCK_BYTES_MAX ? spare.pop() : undefined
  return kept ?? Buffer.allocUnsafeSlow(length)
}
