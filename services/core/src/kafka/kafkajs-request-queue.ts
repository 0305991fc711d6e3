/**
 * Mends the queue of requests that each of kafkajs's connections has.
 *
 * - It looked for requests that wait every millisecond, for as long as the connection lived, also when none did: a tenth
 *   of a core at 360 connections. Here it looks while one waits.
 * - It looked for requests that are overdue ten times a second, also when none was under way.
 *
 * Source: kafkajs 2.2.4, `network/requestQueue/index.js` and `network/connection.js` (`connect`).
 */
import RequestQueue from 'kafkajs/src/network/requestQueue/index.js'

/** How often is looked for what is overdue, ms. */
const OVERDUE_CHECK_MS = 100

const { scheduleCheckPendingRequests, sendSocketRequest, destroy } = RequestQueue.prototype

RequestQueue.prototype.scheduleCheckPendingRequests = function () {
  if (this.pending.length > 0) scheduleCheckPendingRequests.call(this)
}

/** Called when the connection is made: nothing of it is under way yet. */
RequestQueue.prototype.scheduleRequestTimeoutCheck = function () {
  this.destroy()
}

RequestQueue.prototype.sendSocketRequest = function (request) {
  sendSocketRequest.call(this, request)
  if (this.enforceRequestTimeout && this.inflight.size > 0) watch(this)
}

RequestQueue.prototype.destroy = function () {
  destroy.call(this)
  this.requestTimeoutIntervalId = undefined
}

function watch(queue: RequestQueue): void {
  queue.requestTimeoutIntervalId ??= setInterval(
    () => {
      const now = Date.now()
      for (const request of [...queue.inflight.values()]) {
        if (now - request.sentAt > request.requestTimeout) request.timeoutRequest()
      }
      if (queue.inflight.size > 0 && queue.isConnected()) return
      clearInterval(queue.requestTimeoutIntervalId)
      queue.requestTimeoutIntervalId = undefined
    },
    Math.min(queue.requestTimeout, OVERDUE_CHECK_MS),
  )
}
