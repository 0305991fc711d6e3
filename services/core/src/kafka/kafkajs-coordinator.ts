/**
 * Mends kafkajs's heartbeat. It goes to the broker that coordinated the group at the join, whatever becomes of that
 * one: where it hung, each of the consumer's retries waited for a request's full time, and no partition was read
 * meanwhile. Here a consumer whose connection to the coordinator was closed asks who coordinates now, also for its
 * commits, and stays a member if its session has not run out.
 *
 * Source: kafkajs 2.2.4, `consumer/consumerGroup.js` (`heartbeat`) and `consumer/runner.js` (`fetch`).
 */
import ConsumerGroup from 'kafkajs/src/consumer/consumerGroup.js'
import errors from 'kafkajs/src/errors.js'

const { heartbeat } = ConsumerGroup.prototype

ConsumerGroup.prototype.heartbeat = async function (options) {
  try {
    await heartbeat.call(this, options)
  } catch (error) {
    if (error instanceof errors.KafkaJSConnectionClosedError) {
      const { cluster, groupId, offsetManager } = this
      cluster.removeBroker(error)
      const coordinator = await cluster.findGroupCoordinator({ groupId })
      this.coordinator = coordinator
      offsetManager.coordinator = coordinator
    }
    throw error
  }
}
