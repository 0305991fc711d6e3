/** Builds a partition's log as brokers have it: batches of records, and the markers of coordinators between them. */
import { type Batch, type Marker, PartitionLog } from '../../chaos/processor/partition-log.ts'
import { TRANSACTION_HEADER } from '../../chaos/processor/transactions.ts'

const APPEND_TIME = 1 << 3
const TRANSACTIONAL = 1 << 4
const CONTROL = 1 << 5
const TYPES = { ABORT: 0, COMMIT: 1 }

/** Who writes; producer 3 by default. */
interface By {
  readonly id?: bigint
  readonly epoch: number
}

export class LogBuilder {
  readonly log: PartitionLog
  #offset = 0

  constructor(topic: string, partition: number) {
    this.log = new PartitionLog(topic, partition, false)
  }

  /** Appends one batch of a transaction; `number` names the transaction in its records' headers. */
  write(at: number, by: By, count = 1, number?: string): this {
    const headers: [Buffer, Buffer][] =
      number === undefined ? [] : [[Buffer.from(TRANSACTION_HEADER), Buffer.from(number)]]
    const record = { key: Buffer.from('key'), value: Buffer.from('value'), headers }
    return this.#append(TRANSACTIONAL, at, by, count, record)
  }

  /** Appends a record outside transactions. */
  writePlain(at: number): this {
    const record = { key: Buffer.from('key'), value: Buffer.from('value'), headers: [] }
    return this.#append(0, at, { id: -1n, epoch: -1 }, 1, record)
  }

  end(at: number, type: Marker['type'], by: By, coordinatorEpoch = 7): this {
    const key = Buffer.alloc(4)
    key.writeInt16BE(TYPES[type], 2)
    const value = Buffer.alloc(6)
    value.writeInt32BE(coordinatorEpoch, 2)
    return this.#append(TRANSACTIONAL | CONTROL, at, by, 1, { key, value, headers: [] })
  }

  #append(
    attributes: number,
    at: number,
    { id = 3n, epoch }: By,
    count: number,
    record: Pick<Batch['records'][number], 'key' | 'value' | 'headers'>,
  ): this {
    this.log.take({
      firstOffset: BigInt(this.#offset),
      length: 0,
      partitionLeaderEpoch: 0,
      magic: 2,
      crc: 0,
      attributes: attributes | APPEND_TIME,
      lastOffsetDelta: count - 1,
      firstTimestamp: 0n,
      maxTimestamp: BigInt(at),
      producerId: id,
      producerEpoch: epoch,
      firstSequence: 0,
      records: Array.from({ length: count }, (_, offsetDelta) => ({
        ...record,
        length: 0,
        attributes: 0,
        timestampDelta: 0n,
        offsetDelta,
      })),
    })
    this.#offset += count
    return this
  }
}
