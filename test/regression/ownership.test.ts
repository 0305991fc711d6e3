/**
 * Races between owners of a partition. Each test states its setup, its timeline, and what it proves; the numbers are
 * the invariants at the top of task.ts, membership.ts and settle.ts.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { BrokerClock } from '@sallyport/core/clock'
import { TaskProducer } from '@sallyport/core/kafka/task-producer'
import { ProducerCluster } from '@sallyport/core/kafka/transactions/producer-cluster'
import type { Handler } from '@sallyport/processor'
import type kafkajs from 'kafkajs'
import { eventOf, Topics } from '../support/events.ts'
import {
  agentEvent,
  PARTITIONS,
  type TestProcessor,
  testProcessor,
  testSettings,
} from '../support/processor.ts'
import { rawAdmin, rawKafka, rawTransactionalProducer } from '../support/raw-kafka.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

describe('races between owners of a partition', function () {
  this.timeout(60_000)
  let connection: { brokers: readonly string[]; registryUrl: string }
  let kafka: kafkajs.Kafka
  let topics: Topics
  let processor: TestProcessor
  const cleanups: (() => Promise<void>)[] = []

  before(async () => {
    connection = await sharedCluster()
    kafka = rawKafka(connection.brokers)
    topics = new Topics(connection, PARTITIONS)
  })
  after(() => topics.close())
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  })

  function emitting(settings = testSettings()): TestProcessor {
    const handler: Handler = (event, { attempt, emit }) =>
      emit(processor.output, agentEvent(event.id, attempt))
    processor = testProcessor(connection, handler, {}, settings)
    cleanups.push(() => processor.stop())
    return processor
  }

  /** Runs the processor over `count` new events and stops it. */
  async function process(count: number) {
    const running = await processor.start()
    const events = Array.from({ length: count }, () => eventOf(processor.source, {}))
    await topics.append(events)
    await topics.read(processor.output, () => true, count)
    await running.drain(2_000)
    return events
  }

  async function outputIds(): Promise<(string | null)[]> {
    return (await topics.readAll(processor.output)).map(({ key }) => key).sort()
  }

  it('a committed group offset that runs ahead loses nothing: the claims topic says where a task stands (X2)', async () => {
    // Setup: 20 events processed, the processor stopped. Timeline: 20 more arrive; the group's offsets are set to the
    // end, as a stale or foreign commit would; the processor starts. Proves: positions come from the claims topic.
    emitting()
    const before = await process(20)
    const missed = Array.from({ length: 20 }, () => eventOf(processor.source, {}))
    await topics.append(missed)
    await rawAdmin(kafka, async admin => {
      const ends = await admin.fetchTopicOffsets('sallyport.events')
      await admin.setOffsets({
        groupId: processor.config.groupId,
        topic: 'sallyport.events',
        partitions: ends.map(({ partition, high }) => ({ partition, offset: high })),
      })
    })
    await processor.start()
    await topics.read(processor.output, () => true, 40)
    assert.deepEqual(await outputIds(), [...before, ...missed].map(({ id }) => id).sort())
  })

  it('without positions the group’s offsets hold, never the earliest: old events are not run again', async () => {
    // Setup: 20 events processed, the processor stopped. Timeline: every claim and the positions are deleted from the
    // claims topic; the processor starts and gets one new event. Proves: the fallback is the group's offsets. With
    // the earliest instead, all 20 would be processed again, because their claims are gone.
    emitting()
    const before = await process(20)
    const { claims } = processor.config.topics
    const keys = new Map(
      (await topics.readAll(claims)).map(({ key, partition }) => [`${partition}${key}`, { key, partition }]),
    )
    const tombstones = [...keys.values()].map(({ key, partition }) => ({ partition, key, value: null }))
    await topics.appendRaw(claims, tombstones)
    const next = eventOf(processor.source, {})
    await topics.append([next])
    await processor.start()
    await topics.read(processor.output, ({ key }) => key === next.id, 1)
    await sleep(1_000)
    assert.deepEqual(await outputIds(), [...before, next].map(({ id }) => id).sort())
  })

  it('a zombie that wakes in the middle of its transaction cannot commit it, and cannot begin another', async () => {
    // Setup: owner A of partition 0 has written an output in a transaction. Timeline: B acquires the partition and
    // settles; A wakes, writes on and commits; B settles more; C acquires, and B settles again. Proves: A's transaction is
    // refused and nothing of it is visible, B is none the worse for it, and B's next one is refused as well.
    emitting()
    await process(1)
    const producers = new ProducerCluster(connection, 'test')
    cleanups.push(() => producers.close())
    const connect = () =>
      TaskProducer.open(producers, processor.config.groupId, 0, {
        transactionTimeoutMs: 10_000,
        clock: new BrokerClock(Date.now),
      })
    const record = (mark: string) => ({ key: Buffer.from(mark), value: Buffer.from(mark) })
    const settle = (producer: TaskProducer, mark: string) =>
      producer.transact(
        {
          topic: processor.config.topics.claims,
          partition: 0,
          records: [{ key: Buffer.from(`#${mark}`), value: null }],
        },
        [{ topic: processor.output, partition: 0, records: [record(mark)] }],
        [],
      )
    const zombie = await rawTransactionalProducer(kafka, `${processor.config.groupId}-0`)
    cleanups.push(() => zombie.disconnect())
    const output = (mark: string) => ({
      topic: processor.output,
      messages: [{ partition: 0, ...record(mark) }],
    })
    const transaction = await zombie.transaction()
    await transaction.send(output('zombie-asleep'))
    const owner = await connect()
    cleanups.push(() => owner.close())
    await settle(owner, 'owner')
    await assert.rejects(async () => {
      await transaction.send(output('zombie-awake'))
      await transaction.commit()
    })
    await settle(owner, 'owner-again')
    const late = await connect()
    cleanups.push(() => late.close())
    await settle(late, 'late')
    await assert.rejects(settle(owner, 'owner-late'), { code: 'SP_FENCED' })
    const marks = (await topics.readAll(processor.output)).map(({ key }) => key)
    assert.deepEqual(
      marks.filter(mark => /^(owner|late|zombie)/.test(String(mark))),
      ['owner', 'owner-again', 'late'],
    )
  })

  it('a transaction that a dead owner left open is resolved before its successor reads (T1)', async () => {
    // Setup: 5 events processed. Timeline: an owner of partition 0 dies in the middle of a transaction in which it
    // wrote an output and a claim; its transaction would stay open for a minute. The processor starts. Proves: the
    // successor need not wait for the time-out, does not see the half-done effect, and processes on.
    emitting()
    const before = await process(5)
    const dead = await rawTransactionalProducer(kafka, `${processor.config.groupId}-0`)
    const transaction = await dead.transaction()
    await transaction.send({
      topic: processor.config.topics.claims,
      messages: [{ partition: 0, key: 'half/done', value: null }],
    })
    await transaction.send({
      topic: processor.output,
      messages: [{ partition: 0, key: 'half/done', value: 'half' }],
    })
    cleanups.push(() => dead.disconnect())
    const startedAt = Date.now()
    await processor.start()
    const next = Array.from({ length: 12 }, () => eventOf(processor.source, {}))
    await topics.append(next)
    await topics.read(processor.output, ({ key }) => key?.startsWith(processor.source) === true, 17)
    assert.ok(Date.now() - startedAt < 30_000)
    assert.deepEqual(await outputIds(), [...before, ...next].map(({ id }) => id).sort())
  })

  it('a claims partition that ends in markers and aborted records is restored all the same', async () => {
    // Setup: 5 events processed. Timeline: a transaction on each claims partition is aborted, so that the end offset
    // lies behind a marker that no consumer ever sees. The processor starts. Proves: the barrier ends the restore,
    // not an end offset (kafkajs #562), and aborted claims are not believed.
    emitting()
    const before = await process(5)
    const other = await rawTransactionalProducer(kafka, `other-${processor.source}`)
    const transaction = await other.transaction()
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const messages = [{ partition, key: `${processor.source}/aborted`, value: 'no claim at all' }]
      await transaction.send({ topic: processor.config.topics.claims, messages })
    }
    await transaction.abort()
    await other.disconnect()
    await processor.start()
    const next = Array.from({ length: 5 }, () => eventOf(processor.source, {}))
    await topics.append([...next, ...before])
    await topics.read(processor.output, () => true, 10)
    await sleep(500)
    assert.deepEqual(await outputIds(), [...before, ...next].map(({ id }) => id).sort())
  })

  it('two records of one event id never run at the same time (T2)', async () => {
    // Setup: a handler that takes 400 ms. Timeline: the same event arrives three times while the first is running.
    // Proves: the others wait for its outcome, and are duplicates then.
    let running = 0
    let most = 0
    let runs = 0
    processor = testProcessor(connection, async (event, { attempt, emit }) => {
      runs++
      most = Math.max(most, ++running)
      await sleep(400)
      running--
      emit(processor.output, agentEvent(event.id, attempt))
    })
    cleanups.push(() => processor.stop())
    await processor.start()
    const event = eventOf(processor.source, {})
    await topics.append([event, event, event])
    await topics.read(processor.output, () => true, 1)
    await sleep(1_000)
    assert.equal(most, 1)
    assert.equal(runs, 1)
    assert.equal((await topics.readAll(processor.output)).length, 1)
  })

  it('a waiting retry outlives the window: its claim is written again before it can expire', async () => {
    // Setup: a window of 2 s and a tier of 5 s. Timeline: the first attempt fails; while the retry waits, the event
    // arrives again after more than a window. Proves: the claim is still PENDING (it was rewritten every quarter of
    // the window), so the repetition is a duplicate and the event takes effect once.
    const settings = testSettings('window: 2s')
    processor = testProcessor(
      connection,
      (event, { attempt, emit }) => {
        if (attempt === 1) throw new Error('not yet')
        emit(processor.output, agentEvent(event.id, attempt))
      },
      { retry: ['5s'] },
      settings,
    )
    cleanups.push(() => processor.stop())
    await processor.start()
    const event = eventOf(processor.source, {})
    await topics.append([event])
    await topics.read(processor.config.topics.retry[0] as string, () => true, 1)
    await sleep(3_500)
    await topics.append([event])
    await topics.read(processor.output, () => true, 1)
    await sleep(500)
    const outputs = await topics.readAll(processor.output)
    assert.equal(outputs.length, 1)
    assert.equal((await topics.decode(outputs[0]?.value as Buffer)).attempt, 2)
    const rewritten = await topics.readAll(processor.config.topics.claims, ({ key }) => key === event.id)
    assert.ok(rewritten.length >= 4, `the claim was written ${rewritten.length} times`)
  })

  it('beyond the window an event that arrives again is a new one', async () => {
    // Setup: a window of 2 s. Timeline: an event is processed, and arrives again 3 s later. Proves: what the window
    // promises, and where the promise ends.
    emitting(testSettings('window: 2s'))
    await processor.start()
    const event = eventOf(processor.source, {})
    await topics.append([event])
    await topics.read(processor.output, () => true, 1)
    await topics.append([event])
    await sleep(3_000)
    assert.equal((await topics.readAll(processor.output)).length, 1)
    await topics.append([event])
    assert.equal((await topics.read(processor.output, () => true, 2, 10_000)).length, 2)
  })
})
