import type { ReadBatch } from '@sallyport/core/kafka/topic-reader'
import type { IndexWriter } from './writer.ts'

/** A transaction of so many records costs half as much per record as one per fetch; more gain little. */
const RECORDS_MAX = 5_000
const BYTES_MAX = 16_777_216
/** How long a batch waits for others, ms. */
const WAIT_MS = 100

/** Gathers fetched batches for one transaction. */
export class Gathering {
  readonly #writer: IndexWriter
  readonly #failed = Promise.withResolvers<never>()
  #batches: ReadBatch[] = []
  #records = 0
  #bytes = 0
  #timer: NodeJS.Timeout | undefined

  constructor(writer: IndexWriter) {
    this.#writer = writer
    this.#failed.promise.catch(() => {})
  }

  /** Rejects with what a transaction threw. */
  get failed(): Promise<never> {
    return this.#failed.promise
  }

  /** Throws what asking for schemas or the transaction throws. */
  async add(batch: ReadBatch): Promise<void> {
    await this.#writer.prepare(batch)
    this.#batches.push(batch)
    this.#records += batch.records.length
    for (const { value } of batch.records) this.#bytes += value?.length ?? 0
    if (this.#records >= RECORDS_MAX || this.#bytes >= BYTES_MAX) this.#write()
    else this.#timer ??= setTimeout(() => this.#writeLate(), WAIT_MS)
  }

  /** Writes nothing more: what was gathered is read again another time. */
  end(): void {
    clearTimeout(this.#timer)
    this.#batches = []
  }

  #writeLate(): void {
    try {
      this.#write()
    } catch (error) {
      this.#failed.reject(error)
    }
  }

  #write(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const batches = this.#batches
    this.#batches = []
    this.#records = 0
    this.#bytes = 0
    if (batches.length > 0) this.#writer.write(batches)
  }
}
