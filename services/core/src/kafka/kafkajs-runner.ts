/**
 * Mends kafkajs's consumer, which could stop the whole process: when it was told to stop while it made its fetchers
 * anew, because a broker had come or gone, the new ones asked a runner that had stopped. That answers "no records" at
 * once, so they asked again, on and on within one turn of the event loop: no timer, signal or request came through any
 * more. Here a runner that has stopped refuses to fetch, which ends its fetchers.
 *
 * Source: kafkajs 2.2.4, `consumer/runner.js` (`fetch`) and `consumer/fetchManager.js` (`start`).
 */
import Runner from 'kafkajs/src/consumer/runner.js'

const { fetch } = Runner.prototype

Runner.prototype.fetch = async function (nodeId) {
  if (!this.running) throw new Error('the consumer has stopped')
  return await fetch.call(this, nodeId)
}
