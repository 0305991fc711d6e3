import { heldBodies } from '@sallyport/core/metrics'

/** Bytes that may be held at once. What was taken must be given back exactly once. */
export class ByteBudget {
  readonly #bytesMax: number
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Takes the bytes, or returns false and takes none. */
  take(bytes: number): boolean {
    if (this.#bytes + bytes > this.#bytesMax) return false
    this.#bytes += bytes
    heldBodies.bytes += bytes
    return true
  }

  give(bytes: number): void {
    this.#bytes -= bytes
    heldBodies.bytes -= bytes
  }
}
