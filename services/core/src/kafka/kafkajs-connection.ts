/**
 * Mends kafkajs's connections.
 *
 * - One that is connected again kept the beginning of an answer that its broker could not finish before it died. The
 *   next answers were taken for the rest of that one, and none of them ever arrived.
 * - One whose broker hangs, its port open, was kept when a request timed out: every retry went to the same broker, for
 *   minutes after others had taken over its partitions. Here a time-out drops the connection, as the Java client does,
 *   and all that wait on it are told that it was closed: that, kafkajs answers by asking who leads now.
 * - One whose broker is away is disconnected with each attempt to reach the broker, and ended its dead socket again each
 *   time: Node's `unref` of a socket without a handle waits for it to connect, with one more listener a call. From the
 *   eleventh on that was a `MaxListenersExceededWarning`. Here a socket is ended once, and who disconnects meanwhile
 *   waits for the same.
 *
 * Source: kafkajs 2.2.4, `network/connection.js` (`connect`, `disconnect`, `processData`, `send`), `network/requestQueue/index.js`
 * and, for what is done about a closed connection, `producer/sendMessages.js` and `consumer/consumerGroup.js`.
 */
import errors, { type RequestTimeout } from 'kafkajs/src/errors.js'
import Connection, { type Question } from 'kafkajs/src/network/connection.js'

/** Bytes of the length that every answer begins with. */
const LENGTH_BYTES = 4

const { connect, disconnect, send } = Connection.prototype
const disconnecting = new WeakMap<Connection, Promise<boolean>>()

Connection.prototype.connect = async function () {
  if (!this.isConnected()) {
    this.chunks = []
    this.bytesBuffered = 0
    this.bytesNeeded = LENGTH_BYTES
  }
  return await connect.call(this)
}

Connection.prototype.disconnect = function () {
  let ended = disconnecting.get(this)
  if (ended === undefined) {
    ended = disconnectOnce(this).finally(() => disconnecting.delete(this))
    disconnecting.set(this, ended)
  }
  return ended
}

Connection.prototype.send = async function (question) {
  const { socket } = this
  try {
    return await send.call(this, question)
  } catch (error) {
    if (!(error instanceof errors.KafkaJSRequestTimeoutError) || isBehindAnother(this, error)) throw error
    const dropped = droppedError(this, question, error)
    // It may be another connection by now.
    if (this.socket === socket) drop(this, dropped)
    throw dropped
  }
}

async function disconnectOnce(connection: Connection): Promise<boolean> {
  const { socket } = connection
  const ended = await disconnect.call(connection)
  if (connection.socket === socket) connection.socket = undefined
  return ended
}

/**
 * Whether one that was sent earlier is not overdue yet: brokers answer in order, and a join may rightfully take long.
 */
function isBehindAnother(connection: Connection, { sentAt }: RequestTimeout): boolean {
  const [oldest] = connection.requestQueue.inflight.values()
  return oldest !== undefined && oldest.sentAt < sentAt
}

function droppedError(connection: Connection, { request }: Question, { message }: Error): Error {
  const { host, port } = connection
  // The first question of all. kafkajs tries another broker of its list only where one cannot be connected to.
  if (request.apiName === 'ApiVersions') {
    return new errors.KafkaJSConnectionError(message, { broker: `${host}:${port}`, code: 'ETIMEDOUT' })
  }
  return new errors.KafkaJSConnectionClosedError(`Closed connection: ${message}`, { host, port })
}

function drop(connection: Connection, error: Error): void {
  connection.connectionStatus = 'disconnected'
  connection.socket?.destroy()
  connection.authHandlers?.onError()
  connection.requestQueue.rejectAll(error)
  connection.requestQueue.destroy()
}
