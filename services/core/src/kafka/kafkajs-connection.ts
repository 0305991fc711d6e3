/**
 * Mends kafkajs's connections: one that is connected again kept the beginning of an answer that its broker could not
 * finish before it died. The next answers were taken for the rest of that one, and none of them ever arrived.
 *
 * Source: kafkajs 2.2.4, `network/connection.js` (`connect` and `processData`).
 */
import { createRequire } from 'node:module'

interface Connection {
  chunks: readonly Buffer[]
  bytesBuffered: number
  bytesNeeded: number
  isConnected(): boolean
  connect(): Promise<unknown>
}

/** Bytes of the length that every answer begins with. */
const LENGTH_BYTES = 4

const require = createRequire(import.meta.url)
const { prototype } = require('kafkajs/src/network/connection.js') as { prototype: Connection }
const { connect } = prototype

prototype.connect = async function () {
  if (!this.isConnected()) {
    this.chunks = []
    this.bytesBuffered = 0
    this.bytesNeeded = LENGTH_BYTES
  }
  return await connect.call(this)
}
