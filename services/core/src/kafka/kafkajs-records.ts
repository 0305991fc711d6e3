/**
 * Gives kafkajs our own code for reading single records. Its own copies all headers for each one that it reads: that was
 * much of a processor's CPU time. All else of kafkajs is as it comes; a test compares the fields.
 *
 * Every module that loads kafkajs imports this one first: its parts must find the exchanged function when they load.
 * Should they not, they work as they come.
 */
import { exchange } from './kafkajs-exchange.ts'
import { decodeRecord } from './record.ts'

exchange('kafkajs/src/protocol/recordBatch/record/v0/decoder.js', () => decodeRecord)
