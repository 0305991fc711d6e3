import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs from 'kafkajs'
import { type Subscription, subscribe } from '../../../services/subscriber/src/index.ts'
import { CannedGroup } from '../../support/canned-group.ts'

describe('a subscription whose brokers go away and come back', () => {
  const { consumer } = kafkajs.Kafka.prototype
  let group: CannedGroup
  let subscription: Subscription
  let release: () => void
  let second: Promise<void>
  let stopped: Promise<void>

  /** Resolves when the first record's handler runs, and waits for its release. */
  beforeEach(async () => {
    group = new CannedGroup()
    kafkajs.Kafka.prototype.consumer = config => group.consumer(config as kafkajs.ConsumerConfig)
    const running = Promise.withResolvers<void>()
    const released = Promise.withResolvers<void>()
    const handed = Promise.withResolvers<void>()
    const down = Promise.withResolvers<void>()
    release = released.resolve
    second = handed.promise
    stopped = down.promise
    group.records = 1
    subscription = await subscribe({
      brokers: ['unused:9092'],
      registry: { url: 'http://unused' },
      groupId: 'g',
      topics: ['t'],
      schema: 'event.v1',
      sessionTimeoutMs: 1_000,
      handler() {},
      async onPoison({ offset }) {
        if (offset === 1) return handed.resolve()
        running.resolve()
        await released.promise
      },
      log(_level, message) {
        if (message === 'the consumer stopped') down.resolve()
      },
    })
    await running.promise
  })
  afterEach(async () => {
    kafkajs.Kafka.prototype.consumer = consumer
    release()
    await subscription.stop()
  })

  it('goes on where a handler ends before kafkajs has joined again', async () => {
    // Setup: a handler that runs. Timeline: no broker is left, and kafkajs ends its group; the handler ends; the brokers
    // are back, and kafkajs joins again. Proves: the next record is handed over. Resuming the partition in between used
    // to end the subscription.
    group.isAway = true
    await stopped
    release()
    await sleep(0)
    group.isAway = false
    group.records = 2
    await Promise.race([second, subscription.ended])
    assert.equal(group.joins, 2)
    assert.deepEqual(group.fetches.slice(0, 2), [0, 1])
  })

  it('fetches nothing of a partition whose handler still runs when kafkajs has joined again (J7)', async () => {
    group.isAway = true
    await stopped
    group.isAway = false
    group.records = 2
    while (group.joins < 2) await sleep(5)
    await sleep(50)
    assert.deepEqual(group.fetches, [0])
    release()
    await Promise.race([second, subscription.ended])
    assert.deepEqual(group.fetches.slice(0, 2), [0, 1])
  })

  it('that is stopped meanwhile is no member afterwards', async () => {
    // Setup: kafkajs ends its group. Timeline: it disconnects; the subscription is stopped; kafkajs, which has not said yet
    // whether it starts again, could. Proves: it does not. It used to join, and to hold partitions until the process ended.
    const disconnecting = Promise.withResolvers<void>()
    const disconnected = Promise.withResolvers<void>()
    group.disconnecting = () => {
      disconnecting.resolve()
      return disconnected.promise
    }
    group.isAway = true
    await disconnecting.promise
    group.disconnecting = () => {}
    release()
    await subscription.stop()
    group.isAway = false
    disconnected.resolve()
    await sleep(300)
    assert.deepEqual([group.joins, group.connected], [1, false])
  })

  it('that is stopped while kafkajs joins again is no member afterwards', async () => {
    // Timeline: the brokers are back; kafkajs joins; the subscription is stopped; the coordinator answers that it is none
    // any more; kafkajs connects again, and joins. Proves: it gives up, and closes that connection too.
    const joining = Promise.withResolvers<void>()
    const answer = Promise.withResolvers<void>()
    group.joining = () => {
      joining.resolve()
      return answer.promise
    }
    group.isAway = true
    await stopped
    group.isAway = false
    await joining.promise
    release()
    await subscription.stop()
    const closed = new Promise<void>(resolve => {
      group.disconnecting = resolve
    })
    group.joining = () => {}
    answer.reject(Object.assign(new Error('moved'), { type: 'NOT_COORDINATOR_FOR_GROUP' }))
    await closed
    assert.deepEqual([group.joins, group.connected], [3, false])
  })
})
