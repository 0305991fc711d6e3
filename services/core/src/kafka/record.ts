/**
 * One record of Kafka's record batch (magic 2), as kafkajs's writer and reader of batches expect it. The bytes and
 * fields are those of kafkajs's own functions, at a fraction of their cost.
 *
 * Source: Kafka documentation, "Record"; kafkajs 2.2.4, src/protocol/recordBatch/record/v0.
 */
import { varintBytes, writeVarint } from './varint.ts'

type Bytes = Buffer | string | null | undefined

export interface RecordToEncode {
  readonly key?: Bytes
  readonly value?: Bytes
  readonly headers?: Readonly<Record<string, Bytes | readonly Bytes[]>>
  readonly offsetDelta: number
}

/** What kafkajs takes for an encoder of its own. */
export interface EncodedRecord {
  readonly buf: Buffer
  readonly buffer: Buffer
}

/** Room for the length in front of a record. */
const VARINT_BYTES_MAX = 5
/** The length of what is null, -1, as a varint. */
const NULL = 1

/** Encodes a record that has no timestamp of its own. */
export function encodeRecord({ key, value, headers = {}, offsetDelta }: RecordToEncode): EncodedRecord {
  let bytesMax = 4 * VARINT_BYTES_MAX + sizeMax(key) + sizeMax(value)
  let count = 0
  for (const name in headers) {
    const given = headers[name]
    const nameBytes = sizeMax(name)
    for (const one of listOf(given)) {
      bytesMax += nameBytes + sizeMax(one)
      count++
    }
  }
  const buffer = Buffer.allocUnsafe(bytesMax)
  let at = VARINT_BYTES_MAX
  buffer[at++] = 0 // attributes
  buffer[at++] = 0 // timestamp, relative to the batch's
  at = writeVarint(buffer, at, offsetDelta)
  at = writeBytes(buffer, at, key)
  at = writeBytes(buffer, at, value)
  at = writeVarint(buffer, at, count)
  for (const name in headers) {
    for (const one of listOf(headers[name])) {
      at = writeBytes(buffer, at, name)
      at = writeBytes(buffer, at, one)
    }
  }
  const length = at - VARINT_BYTES_MAX
  const start = VARINT_BYTES_MAX - varintBytes(length)
  writeVarint(buffer, start, length)
  const record = buffer.subarray(start, at)
  return { buf: record, buffer: record }
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

/** What kafkajs read of a record's batch. */
export interface BatchContext {
  readonly firstOffset: string
  readonly firstTimestamp: string
  readonly maxTimestamp: string
  readonly magicByte: number
  readonly isControlBatch?: boolean
  readonly timestampType: number
  /** Of the batch's last record. The broker counts it, and goes by it when it gives the next batch its place. */
  readonly lastOffsetDelta: number
}

/** As kafkajs hands records on. */
export interface DecodedRecord {
  readonly magicByte: number
  readonly attributes: number
  readonly timestamp: string
  readonly offset: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Record<string, Buffer | null | (Buffer | null)[]>
  readonly isControlRecord: boolean
  readonly batchContext: BatchContext
}

const LOG_APPEND_TIME = 1

/** Decodes the record that fills `buffer`. */
export function decodeRecord(
  { buffer }: { readonly buffer: Buffer },
  batchContext: BatchContext,
): DecodedRecord {
  const { firstOffset, firstTimestamp, maxTimestamp, magicByte, isControlBatch = false } = batchContext
  const reader = new Reader(buffer)
  const attributes = reader.byte()
  const timestampDelta = reader.varint()
  const isAppendTime = batchContext.timestampType === LOG_APPEND_TIME && maxTimestamp !== ''
  return {
    magicByte,
    attributes,
    timestamp: isAppendTime ? maxTimestamp : String(Number(firstTimestamp) + timestampDelta),
    offset: String(Number(firstOffset) + withinBatch(reader.varint(), batchContext.lastOffsetDelta)),
    key: reader.bytes(),
    value: reader.bytes(),
    headers: headersOf(reader),
    isControlRecord: isControlBatch,
    batchContext,
  }
}

/**
 * A record's place in its batch. It is what the writer says; the broker does not check it. One beyond the batch would
 * move a reader's position behind records that are still to come, or to where none will ever be.
 */
export function withinBatch(offsetDelta: number, lastOffsetDelta: number): number {
  return Math.min(Math.max(offsetDelta, 0), lastOffsetDelta)
}

function headersOf(reader: Reader): DecodedRecord['headers'] {
  const headers = new Headers()
  for (let left = reader.varint(); left > 0; left--) {
    const name = String(reader.bytes())
    const value = reader.bytes()
    const before = headers[name]
    if (before === undefined) headers[name] = value
    else if (Array.isArray(before)) before.push(value)
    else headers[name] = [before, value]
  }
  return headers
}

/** Strangers name the headers: nothing may be inherited (`constructor`), and `__proto__` is a name like any other. */
const Headers = function Headers() {} as unknown as new () => DecodedRecord['headers']
Headers.prototype = Object.create(null)

class Reader {
  readonly #buffer: Buffer
  #at = 0

  constructor(buffer: Buffer) {
    this.#buffer = buffer
  }

  byte(): number {
    return this.#buffer.readInt8(this.#at++)
  }

  /** A zigzag varint of up to 53 bits. */
  varint(): number {
    let value = 0
    let scale = 1
    let byte: number
    do {
      byte = this.#buffer.readUInt8(this.#at++)
      value += (byte & 0x7f) * scale
      scale *= 128
    } while (byte > 0x7f)
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  bytes(): Buffer | null {
    const length = this.varint()
    if (length < 0) return null
    const start = this.#at
    this.#at += length
    return this.#buffer.subarray(start, this.#at)
  }
}
