/** What a member of a group that has long been idle does at once, although its fetches wait long for a record. */
import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { createKafka } from '@sallyport/core/kafka/client'
import { GroupConsumer } from '@sallyport/core/kafka/group-consumer'
import { createLog } from '@sallyport/core/log'
import type kafkajs from 'kafkajs'
import { rawKafka } from '../support/raw-kafka.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { freshTopic } from '../support/topic.ts'

/** Until fetches wait for their longest, and a bit more. */
const IDLE_MS = 2_500
/** What must not wait for a long fetch takes less, also on a busy machine. Those end within a second. */
const SOON_MS = 500
const ROUNDS = 4

describe('an idle member', function () {
  this.timeout(60_000)
  let brokers: readonly string[]
  let producer: kafkajs.Producer

  before(async () => {
    const cluster = await sharedCluster()
    brokers = cluster.brokers
    producer = rawKafka(brokers).producer()
    await producer.connect()
  })
  after(() => producer.disconnect())

  /** A member that reads both partitions of a topic of its own. `fetched` is emitted with each record's value. */
  async function joined() {
    const topic = await freshTopic(brokers, 2)
    const log = createLog('test')
    log.level = 'silent'
    const told = new EventEmitter()
    const settings = {
      groupId: topic,
      topics: [topic],
      sessionTimeoutMs: 10_000,
      memberSettings: '',
      process: '',
      partitionBytesMax: 1_000_000,
    }
    const member = new GroupConsumer(
      createKafka({ brokers, registryUrl: '' }, 'test', log),
      settings,
      {
        joined: () => void told.emit('joined'),
        inOrderOfMoving: partitions => [...partitions],
        fetched: ({ records, nextOffset }) => {
          for (const { value } of records) told.emit('fetched', String(value))
          return nextOffset
        },
        passed() {},
        outOfRange() {},
        assigned() {},
        failed: assert.fail,
      },
      log,
    )
    const isJoined = once(told, 'joined')
    await Promise.all([member.start(), isJoined])
    for (const partition of [0, 1]) member.readFrom(partition, new Map([[topic, 0]]))
    const append = async (partition: number, value: string) => {
      await producer.send({ topic, messages: [{ partition, value }] })
    }
    return { member, topic, told, append }
  }

  it('gets a record that comes, and one of a partition that it reads on, without the wait of a long fetch', async () => {
    // Setup: a member of two partitions. Timeline, four times: nothing comes for long; a record comes; one partition is
    // paused, and a record comes in it; nothing comes for long; it is read on. Proves: each record is there soon. A fetch
    // under way does not know of a partition that was paused when it began: where that one waits for its second, so
    // does the record.
    const { member, topic, told, append } = await joined()
    try {
      for (let round = 0; round < ROUNDS; round++) {
        await sleep(IDLE_MS)
        const came = once(told, 'fetched')
        let since = performance.now()
        await Promise.all([append(0, 'came'), came])
        assert.ok(performance.now() - since < SOON_MS, `a record came ${performance.now() - since} ms later`)
        member.pause(1, [topic])
        await append(1, 'held')
        await sleep(IDLE_MS)
        const held = once(told, 'fetched')
        since = performance.now()
        member.resume(1, [topic])
        assert.deepEqual(await held, ['held'])
        assert.ok(performance.now() - since < SOON_MS, `read on ${performance.now() - since} ms later`)
      }
    } finally {
      await member.stop()
    }
  })

  it('leaves its group at once when it is stopped', async () => {
    // Timeline, four times: a member joins; nothing comes for long; it is stopped. Proves: it has left before the fetch
    // that is under way can have ended.
    for (let round = 0; round < ROUNDS; round++) {
      const { member } = await joined()
      await sleep(IDLE_MS)
      const since = performance.now()
      await member.stop()
      assert.ok(performance.now() - since < SOON_MS, `it left ${performance.now() - since} ms later`)
    }
  })
})
