/**
 * Mends kafkajs's reading of large batches. It hands all records of a batch to `push` as arguments, and more than some
 * 125,000 do not fit on the stack: a RangeError, which it never tries again, so a single such batch stopped every
 * reader of its partition for ever. Compressed, that many small records are a batch of the usual size.
 *
 * Source: kafkajs 2.2.4, `protocol/requests/fetch/v4/decodeMessages.js`. What reads a fetch's answer loads it with the
 * first one. It loads the reader of single records itself: that must have been exchanged before.
 */
import './kafkajs-records.ts'
import { createRequire } from 'node:module'
import { exchange } from './kafkajs-exchange.ts'

/** kafkajs's own, as far as it is used here. */
interface Decoder {
  readonly buffer: Buffer
  offset: number
  readInt32(): number
  canReadBytes(length: number): boolean
  readBytes(length: number): Buffer
}

type Decode = (decoder: Decoder) => Promise<unknown[]>

const require = createRequire(import.meta.url)
/** Where the format's version stands in a batch, and the one that has had this form since 2017. */
const MAGIC_AT = 16
const MAGIC = 2
/** Fewer bytes are no batch. */
const BATCH_BYTES_MIN = 49

exchange<Decode>('kafkajs/src/protocol/requests/fetch/v4/decodeMessages.js', original => async decoder => {
  const start = decoder.offset
  const bytes = decoder.readInt32()
  if (
    bytes <= MAGIC_AT ||
    !decoder.canReadBytes(bytes) ||
    decoder.buffer[decoder.offset + MAGIC_AT] !== MAGIC
  ) {
    decoder.offset = start
    return await original(decoder)
  }
  return await decodeBatches(decoder.readBytes(bytes))
})

async function decodeBatches(batches: Buffer): Promise<unknown[]> {
  const Decoder = require('kafkajs/src/protocol/decoder.js') as new (buffer: Buffer) => Decoder
  const decodeBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder.js') as (
    decoder: Decoder,
  ) => Promise<{ readonly records: readonly unknown[] }>
  const decoder = new Decoder(batches)
  const all: unknown[] = []
  while (decoder.canReadBytes(BATCH_BYTES_MIN)) {
    try {
      const { records } = await decodeBatch(decoder)
      for (const record of records) all.push(record)
    } catch (error) {
      // A fetch ends where its bytes end, often within a batch.
      if (error instanceof Error && error.name === 'KafkaJSPartialMessageError') break
      throw error
    }
  }
  return all
}
