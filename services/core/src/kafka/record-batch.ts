/**
 * Kafka's record batch, magic 2, uncompressed: what a produce request carries for one partition.
 *
 * Encoded once and kept until it is acknowledged or given up: a batch that is sent again is the very same bytes,
 * and so carries the same sequence numbers. The library's own encoder makes some forty small buffers a record;
 * this one fills a single buffer, which is most of the ingress's cost of publishing.
 *
 * Source: Kafka documentation, "Record Batch" and "Record"; sequence numbers as in
 * org.apache.kafka.common.record.DefaultRecordBatch.incrementSequence.
 */
import { crc32c } from '@platformatic/kafka'

/** A record as it is produced: `headers` are text, a name at most once. */
export interface BatchRecord {
  readonly key: Buffer
  readonly value: Buffer
  readonly headers: Readonly<Record<string, string>>
}

/** Who writes a batch, and where its first record stands among that writer's records of the partition. */
export interface BatchIdentity {
  readonly producerId: bigint
  readonly epoch: number
  /** Sequence number of the first record, 0 to 2^31 - 1. */
  readonly sequence: number
}

const HEADER_BYTES = 61
const CRC_AT = 17
const ATTRIBUTES_AT = 21
const NO_LEADER_EPOCH = -1
const MAGIC = 2
const SEQUENCES = 2 ** 31

/** The sequence number `count` records later; it wraps to 0 after 2^31 - 1. */
export function sequenceAfter(sequence: number, count: number): number {
  return (sequence + count) % SEQUENCES
}

/** The most bytes that a batch of these records can take. */
export function batchBytes(records: readonly BatchRecord[]): number {
  let bytes = HEADER_BYTES
  for (const record of records) bytes += recordBytesMax(record)
  return bytes
}

/** The most bytes that a record can take in a batch. */
export function recordBytesMax(record: BatchRecord): number {
  let bytes = 5 + 2 + 5 + 5 + record.key.length + 5 + record.value.length + 5
  for (const name in record.headers) {
    // A UTF-16 unit is at most three bytes in UTF-8: an upper bound is enough, and counting exactly costs more.
    bytes += 10 + 3 * (name.length + (record.headers[name] as string).length)
  }
  return bytes
}

/** Encodes a batch; `nowMs` is the producer's time (topics with LogAppendTime replace it by the broker's). */
export function encodeBatch(records: readonly BatchRecord[], identity: BatchIdentity, nowMs: number): Buffer {
  const buffer = Buffer.allocUnsafe(batchBytes(records))
  let at = HEADER_BYTES
  for (let i = 0; i < records.length; i++) at = writeRecord(buffer, at, records[i] as BatchRecord, i)
  const now = BigInt(nowMs)
  buffer.writeBigInt64BE(0n, 0)
  buffer.writeInt32BE(at - 12, 8)
  buffer.writeInt32BE(NO_LEADER_EPOCH, 12)
  buffer[16] = MAGIC
  buffer.writeInt16BE(0, ATTRIBUTES_AT)
  buffer.writeInt32BE(records.length - 1, 23)
  buffer.writeBigInt64BE(now, 27)
  buffer.writeBigInt64BE(now, 35)
  buffer.writeBigInt64BE(identity.producerId, 43)
  buffer.writeInt16BE(identity.epoch, 51)
  buffer.writeInt32BE(identity.sequence, 53)
  buffer.writeInt32BE(records.length, 57)
  const batch = buffer.subarray(0, at)
  batch.writeUInt32BE(crc32c(batch.subarray(ATTRIBUTES_AT)) >>> 0, CRC_AT)
  return batch
}

function writeRecord(buffer: Buffer, start: number, record: BatchRecord, offsetDelta: number): number {
  const { key, value, headers } = record
  let length = 2 + varintBytes(offsetDelta)
  length += varintBytes(key.length) + key.length + varintBytes(value.length) + value.length
  let count = 0
  for (const name in headers) {
    count++
    const nameLength = nameBytes(name).length
    const valueLength = Buffer.byteLength(headers[name] as string)
    length += varintBytes(nameLength) + nameLength + varintBytes(valueLength) + valueLength
  }
  length += varintBytes(count)

  let at = writeVarint(buffer, start, length)
  buffer[at++] = 0 // attributes
  buffer[at++] = 0 // timestamp, relative to the batch's
  at = writeVarint(buffer, at, offsetDelta)
  at = writeBytes(buffer, at, key)
  at = writeBytes(buffer, at, value)
  at = writeVarint(buffer, at, count)
  for (const name in headers) {
    at = writeBytes(buffer, at, nameBytes(name))
    const text = headers[name] as string
    at = writeVarint(buffer, at, Buffer.byteLength(text))
    at += buffer.write(text, at, 'utf8')
  }
  return at
}

function writeBytes(buffer: Buffer, at: number, bytes: Buffer): number {
  const start = writeVarint(buffer, at, bytes.length)
  buffer.set(bytes, start)
  return start + bytes.length
}

/** A non-negative number below 2^30 as a zigzag varint, which for those is the number doubled. */
function writeVarint(buffer: Buffer, start: number, value: number): number {
  let at = start
  let rest = value << 1
  while (rest > 0x7f) {
    buffer[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  buffer[at++] = rest
  return at
}

function varintBytes(value: number): number {
  if (value < 0x40) return 1
  if (value < 0x2000) return 2
  if (value < 0x10_0000) return 3
  return value < 0x800_0000 ? 4 : 5
}

/** Header names are few and always the same. */
const NAMES_MAX = 256
const names = new Map<string, Buffer>()

function nameBytes(name: string): Buffer {
  let bytes = names.get(name)
  if (bytes === undefined) {
    bytes = Buffer.from(name)
    if (names.size < NAMES_MAX) names.set(name, bytes)
  }
  return bytes
}
