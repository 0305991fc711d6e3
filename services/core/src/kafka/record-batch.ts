/**
 * Kafka's record batch, magic 2, uncompressed: what a produce request carries for one partition.
 *
 * Encoded once and kept until it is acknowledged or given up: a batch that is sent again is the very same bytes,
 * and so carries the same sequence numbers. The library's own encoder makes some forty small buffers a record;
 * this one makes one, when the record arrives, and lays them behind each other when the batch is formed.
 *
 * Source: Kafka documentation, "Record Batch" and "Record"; sequence numbers as in
 * org.apache.kafka.common.record.DefaultRecordBatch.incrementSequence.
 */
import { crc32c } from '@platformatic/kafka'
import { varintBytes, writeVarint } from './varint.ts'

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

/** The most bytes that an encoded record can take in a batch: its length, attributes and place come before it. */
export function recordBytesMax(record: Buffer): number {
  return 5 + 2 + 5 + record.length
}

/** Where records are laid out before their length is known. Nothing here awaits, so one space serves all. */
const space = Buffer.allocUnsafe(64 * 1_024)

/** A record as it stands in any batch, behind the place that it has there: key, value, headers. */
export function encodeRecord({ key, value, headers }: BatchRecord): Buffer {
  let bytesMax = 5 + key.length + 5 + value.length + 5
  let count = 0
  for (const name in headers) {
    // A UTF-16 unit is at most three bytes in UTF-8: an upper bound is enough, and counting exactly costs more.
    bytesMax += 10 + 3 * (name.length + (headers[name] as string).length)
    count++
  }
  const buffer = bytesMax <= space.length ? space : Buffer.allocUnsafe(bytesMax)
  let at = writeBytes(buffer, 0, key)
  at = writeBytes(buffer, at, value)
  at = writeVarint(buffer, at, count)
  for (const name in headers) {
    const text = headers[name] as string
    at = writeBytes(buffer, at, nameBytes(name))
    at = writeVarint(buffer, at, Buffer.byteLength(text))
    at += buffer.write(text, at, 'utf8')
  }
  const record = Buffer.allocUnsafe(at)
  buffer.copy(record, 0, 0, at)
  return record
}

/** A batch of encoded records; `nowMs` is the producer's time (topics with LogAppendTime replace it by the broker's). */
export function encodeBatch(records: readonly Buffer[], identity: BatchIdentity, nowMs: number): Buffer {
  let bytesMax = HEADER_BYTES
  for (const record of records) bytesMax += recordBytesMax(record)
  const buffer = Buffer.allocUnsafe(bytesMax)
  let at = HEADER_BYTES
  for (let i = 0; i < records.length; i++) at = writeRecord(buffer, at, records[i] as Buffer, i)
  const batch = buffer.subarray(0, at)
  const header = new DataView(batch.buffer, batch.byteOffset, HEADER_BYTES)
  const now = BigInt(nowMs)
  header.setBigInt64(0, 0n)
  header.setInt32(8, at - 12)
  header.setInt32(12, NO_LEADER_EPOCH)
  header.setInt8(16, MAGIC)
  header.setInt16(ATTRIBUTES_AT, 0)
  header.setInt32(23, records.length - 1)
  header.setBigInt64(27, now)
  header.setBigInt64(35, now)
  header.setBigInt64(43, identity.producerId)
  header.setInt16(51, identity.epoch)
  header.setInt32(53, identity.sequence)
  header.setInt32(57, records.length)
  header.setUint32(CRC_AT, crc32c(batch.subarray(ATTRIBUTES_AT)) >>> 0)
  return batch
}

function writeRecord(buffer: Buffer, start: number, record: Buffer, offsetDelta: number): number {
  let at = writeVarint(buffer, start, 2 + varintBytes(offsetDelta) + record.length)
  buffer[at++] = 0 // attributes
  buffer[at++] = 0 // timestamp, relative to the batch's
  at = writeVarint(buffer, at, offsetDelta)
  buffer.set(record, at)
  return at + record.length
}

function writeBytes(buffer: Buffer, at: number, bytes: Buffer): number {
  const start = writeVarint(buffer, at, bytes.length)
  buffer.set(bytes, start)
  return start + bytes.length
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
