/**
 * Mends kafkajs's connections: one that is connected again kept the beginning of an answer that its broker could not
 * finish before it died. The next answers were taken for the rest of that one, and none of them ever arrived.
 *
 * Source: kafkajs 2.2.4, `network/connection.js` (`connect` and `processData`).
 */
import Connection from 'kafkajs/src/network/connection.js'

/** Bytes of the length that every answer begins with. */
const LENGTH_BYTES = 4

const { connect } = Connection.prototype

Connection.prototype.connect = async function () {
  if (!this.isConnected()) {
    this.chunks = []
    this.bytesBuffered = 0
    this.bytesNeeded = LENGTH_BYTES
  }
  return await connect.call(this)
}
