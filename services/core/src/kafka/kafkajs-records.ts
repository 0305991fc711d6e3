/**
 * Gives kafkajs our own code for single records. Its own makes a buffer of 512 bytes for each record and each header
 * that it writes, and copies all headers for each one that it reads: that was much of a processor's CPU time. All
 * else of kafkajs is as it comes, and so are the bytes; a test compares them.
 *
 * Every module that loads kafkajs imports this one first: its parts must find the exchanged functions when they load.
 * Should they not, they work as they come.
 */
import { exchange } from './kafkajs-exchange.ts'
import { decodeRecord, encodeRecord, type RecordToEncode } from './record.ts'

interface TimedRecord extends RecordToEncode {
  readonly timestampDelta: number
}

const RECORD = 'kafkajs/src/protocol/recordBatch/record/v0'

exchange<(record: TimedRecord) => unknown>(
  `${RECORD}/index.js`,
  original => record => (record.timestampDelta === 0 ? encodeRecord(record) : original(record)),
)
exchange(`${RECORD}/decoder.js`, () => decodeRecord)
