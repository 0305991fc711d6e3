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
import type { ReadHeaders } from '../headers.ts'
import { varintBytes, writeVarint } from './varint.ts'

type Bytes = Buffer | string | null | undefined

/** A record as it is produced. A header may have no value, or several, as a foreign producer may have given it. */
export interface BatchRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers?: ReadHeaders
}

/** Who writes a batch, and where its first record stands among that writer's records of the partition. */
export interface BatchIdentity {
  readonly producerId: bigint
  readonly epoch: number
  /** Sequence number of the first record, 0 to 2^31 - 1. */
  readonly sequence: number
  /** Part of a transaction; readers of committed records wait for its end. */
  readonly isTransactional?: boolean
}

/** Room for a length. */
const VARINT_BYTES_MAX = 5
/** The length of what is null, -1, as a varint. */
const NULL = 1
const HEADER_BYTES = 61
const CRC_AT = 17
const ATTRIBUTES_AT = 21
const TRANSACTIONAL = 0x10
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
export function encodeRecord({ key, value, headers = {} }: BatchRecord): Buffer {
  let bytesMax = sizeMax(key) + sizeMax(value) + VARINT_BYTES_MAX
  let count = 0
  for (const name in headers) {
    for (const one of listOf(headers[name])) {
      bytesMax += sizeMax(name) + sizeMax(one)
      count++
    }
  }
  const buffer = bytesMax <= space.length ? space : Buffer.allocUnsafe(bytesMax)
  let at = writeBytes(buffer, 0, key)
  at = writeBytes(buffer, at, value)
  at = writeVarint(buffer, at, count)
  for (const name in headers) {
    for (const one of listOf(headers[name])) {
      at = writeText(buffer, at, name)
      at = writeBytes(buffer, at, one)
    }
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
  header.setInt16(ATTRIBUTES_AT, identity.isTransactional === true ? TRANSACTIONAL : 0)
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

const single: [Bytes] = [null]

/** A header's values. What it gives for a single one holds until the next call. */
function listOf(given: Bytes | readonly Bytes[]): readonly Bytes[] {
  if (Array.isArray(given)) return given
  single[0] = given as Bytes
  return single
}

/** An upper bound: a UTF-16 unit is at most three bytes in UTF-8, and counting exactly costs more than the room. */
function sizeMax(bytes: Bytes): number {
  if (bytes === null || bytes === undefined) return 1
  return VARINT_BYTES_MAX + (typeof bytes === 'string' ? 3 * bytes.length : bytes.length)
}

function writeBytes(buffer: Buffer, start: number, bytes: Bytes): number {
  if (bytes === null || bytes === undefined) {
    buffer[start] = NULL
    return start + 1
  }
  if (typeof bytes === 'string') return writeText(buffer, start, bytes)
  const at = writeVarint(buffer, start, bytes.length)
  buffer.set(bytes, at)
  return at + bytes.length
}

/** Short texts in ASCII, as headers are, are written faster unit by unit than by a call out of JavaScript. */
function writeText(buffer: Buffer, start: number, text: string): number {
  const at = writeVarint(buffer, start, text.length)
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit > 0x7f) return writeUtf8(buffer, start, text)
    buffer[at + i] = unit
  }
  return at + text.length
}

function writeUtf8(buffer: Buffer, start: number, text: string): number {
  const at = writeVarint(buffer, start, Buffer.byteLength(text))
  return at + buffer.write(text, at, 'utf8')
}
