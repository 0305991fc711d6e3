/**
 * The records of one transaction for one partition, as batches that follow each other: one is under way, and is kept as
 * the bytes that were sent until the broker has it (P8 of transactional-producer.ts).
 */
import type { ProducerIdentity } from '../cluster.ts'
import type { PartitionWrites } from '../produce-record.ts'
import { encodeBatch, encodeRecord, recordBytesMax, sequenceAfter } from '../record-batch.ts'

/** Batches stay below the broker's usual max.message.bytes of 1 MiB, and within every topic's own. */
const BATCH_BYTES_MAX = 900_000

export class PartitionBatches {
  readonly topic: string
  readonly partition: number
  readonly #identity: ProducerIdentity
  /** Encoded records of the batches that are not written; the first one is under way. */
  readonly #batches: Buffer[][]
  readonly #isTransactional: boolean
  #bytes: Buffer | undefined
  #sequence: number
  #end: number | undefined

  /** `sequence`: how many records this producer has written to the partition in this epoch. */
  constructor(
    { topic, partition, records }: PartitionWrites,
    identity: ProducerIdentity,
    sequence: number,
    isTransactional: boolean,
  ) {
    this.topic = topic
    this.partition = partition
    this.#identity = identity
    this.#batches = [...split(records.map(encodeRecord))]
    this.#sequence = sequence
    this.#isTransactional = isTransactional
  }

  get isWritten(): boolean {
    return this.#batches.length === 0
  }

  /** How many records this producer has written to the partition in this epoch. */
  get sequence(): number {
    return this.#sequence
  }

  /** One past the offset of the last record that is written; undefined where the broker did not say. */
  get end(): number | undefined {
    return this.#end
  }

  /** The batch to send: the same bytes until it is written. */
  get bytes(): Buffer {
    const identity = {
      ...this.#identity,
      sequence: this.#sequence,
      isTransactional: this.#isTransactional,
    }
    this.#bytes ??= encodeBatch(this.#batches[0] as Buffer[], identity, Date.now())
    return this.#bytes
  }

  /** The broker has the batch; `baseOffset` is -1 where it does not say where. */
  written(baseOffset: number): void {
    const count = this.#batches.shift()?.length ?? 0
    this.#bytes = undefined
    this.#sequence = sequenceAfter(this.#sequence, count)
    this.#end = baseOffset < 0 ? undefined : baseOffset + count
  }
}

/** Splits records into batches below the size limit; a single larger record is a batch of its own. */
function* split(records: readonly Buffer[]): Generator<Buffer[]> {
  let batch: Buffer[] = []
  let bytes = 0
  for (const record of records) {
    const size = recordBytesMax(record)
    if (batch.length > 0 && bytes + size > BATCH_BYTES_MAX) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push(record)
    bytes += size
  }
  if (batch.length > 0) yield batch
}
