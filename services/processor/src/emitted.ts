import { SallyportError } from '@sallyport/core/errors'
import { nameOf } from '@sallyport/core/kafka/transactions/requests'
import { type Output, type OutputLimits, outputBytes } from './outputs.ts'

/** What one attempt has emitted: one transaction takes it, so it is bounded. */
export class Emitted {
  readonly outputs: Output[] = []
  readonly #limits: OutputLimits
  readonly #partitions = new Set<string>()
  #bytes = 0

  constructor(limits: OutputLimits) {
    this.#limits = limits
  }

  /** Takes an output, and returns what it counts for, bytes. Throws `SP_EMIT`, and leaves it, where that is too much. */
  add(output: Output): number {
    const { emitBytesMax, transactionPartitionsMax } = this.#limits
    const bytes = outputBytes(output)
    const partition = nameOf(output)
    if (this.#bytes + bytes > emitBytesMax) {
      throw new SallyportError(
        'SP_EMIT',
        `an attempt may emit ${emitBytesMax} bytes in all (processing.emitBytesMax): emit less, or a reference to it`,
      )
    }
    if (!this.#partitions.has(partition) && this.#partitions.size >= transactionPartitionsMax) {
      throw new SallyportError(
        'SP_EMIT',
        `an attempt may emit to ${transactionPartitionsMax} partitions (processing.transactionPartitionsMax): emit under fewer keys, or raise it`,
      )
    }
    this.#partitions.add(partition)
    this.#bytes += bytes
    this.outputs.push(output)
    return bytes
  }
}
