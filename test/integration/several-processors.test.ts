/** Two processors that one process runs: each test states what one of them does, and that the other goes on. */
import assert from 'node:assert/strict'
import { Fatal, type Handler } from '@sallyport/processor'
import { type RunningProcessors, runProcessors } from '@sallyport/processor/main'
import { committedRecords } from '../support/committed.ts'
import { eventOf, type RawRecord, Topics } from '../support/events.ts'
import { keptLog } from '../support/ingress.ts'
import {
  agentEvent,
  PARTITIONS,
  type TestProcessor,
  testProcessor,
  testSettings,
} from '../support/processor.ts'
import { memberCount, rawAdmin, rawKafka, rawTransactionalProducer } from '../support/raw-kafka.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { waitFor } from '../support/wait-for.ts'

describe('two processors in one process', function () {
  this.timeout(120_000)
  let connection: { brokers: readonly string[]; registryUrl: string }
  let topics: Topics
  let one: TestProcessor
  let two: TestProcessor
  let running: RunningProcessors
  let lines: string[]
  /** `processor event` of every attempt. */
  let attempts: string[]

  before(async () => {
    connection = await sharedCluster()
    topics = new Topics(connection, PARTITIONS)
  })
  after(() => topics.close())
  afterEach(() => running.drain(2_000))

  type Step = (...args: Parameters<Handler>) => Promise<void> | void

  /** Makes two processors of the same events, which do `first` and `second` and then emit. */
  function make({ first = () => {}, second = () => {} }: { first?: Step; second?: Step }): void {
    attempts = []
    const handler =
      (processor: () => TestProcessor, step: Step): Handler =>
      async (event, context) => {
        attempts.push(`${processor().config.name} ${event.id}`)
        await step(event, context)
        context.emit(processor().output, agentEvent(event.id, context.attempt))
      }
    one = testProcessor(
      connection,
      handler(() => one, first),
      { retry: ['50ms'], concurrency: 4, breaker: { attemptsMin: 100 } },
    )
    two = testProcessor(
      connection,
      handler(() => two, second),
      { sources: [one.source], retry: ['50ms'], concurrency: 4 },
    )
  }

  function start(): void {
    const kept = keptLog()
    lines = kept.lines
    running = runProcessors([one.config, two.config], testSettings(), connection, kept.log)
  }

  function someEvents(count: number) {
    return Array.from({ length: count }, () => eventOf(one.source, {}))
  }

  function attemptsOf({ config }: TestProcessor): string[] {
    return attempts.filter(attempt => attempt.startsWith(config.name)).map(text => text.split(' ')[1] ?? '')
  }

  async function outputIds(processor: TestProcessor): Promise<(string | null)[]> {
    return (await topics.readAll(processor.output)).map(({ key }) => key).sort()
  }

  async function memberCounts(): Promise<number[]> {
    const kafka = rawKafka(connection.brokers)
    return await Promise.all([one, two].map(({ config }) => memberCount(kafka, config.groupId)))
  }

  function hasLogged(processor: TestProcessor, text: string): boolean {
    return lines.some(line => line.includes(`"processor":"${processor.config.name}"`) && line.includes(text))
  }

  it('have a group, claims, retries and dead letters each, and process every event once each', async () => {
    const broken = new Set<string>()
    make({
      first: ({ id }, { attempt }) => {
        if (broken.has(id)) throw new Fatal('broken')
        if (attempt === 1) throw new Error('not yet')
      },
    })
    start()
    await running.ready
    assert.deepEqual(await memberCounts(), [1, 1])
    const events = someEvents(12)
    const ids = events.map(({ id }) => id).sort()
    for (const { id } of events.slice(0, 3)) broken.add(id)
    await topics.append([...events, ...events])
    const mine = ({ key }: { readonly key: RawRecord['key'] | Buffer }) => ids.includes(String(key))
    const letters = await topics.read(one.config.topics.deadLetter, mine, broken.size)
    assert.deepEqual(letters.map(({ key }) => key).sort(), [...broken].sort())
    await topics.read(one.output, () => true, events.length - broken.size)
    await topics.read(two.output, () => true, events.length)
    assert.deepEqual(
      await outputIds(one),
      ids.filter(id => !broken.has(id)),
    )
    assert.deepEqual(await outputIds(two), ids)
    assert.deepEqual(attemptsOf(two).sort(), ids)
    // Others' records may be there: what cannot be read comes to every processor's dead letter.
    for (const topic of [two.config.topics.deadLetter, ...two.config.topics.retry])
      assert.deepEqual((await committedRecords(connection, topic)).filter(mine), [], topic)
  })

  it('do not wait for each other: one is paused, or all its handlers hang', async () => {
    const release = Promise.withResolvers<void>()
    make({ first: () => release.promise })
    start()
    await running.ready
    const gate = running.gates.get(one.config.name)
    gate?.hold('paused')
    const events = someEvents(20)
    await topics.append(events)
    assert.equal((await topics.read(two.output, () => true, 20)).length, 20)
    assert.deepEqual(attemptsOf(one), [])
    gate?.release('paused')
    await waitFor(() => attemptsOf(one).length > 0)
    const more = someEvents(20)
    await topics.append(more)
    assert.equal((await topics.read(two.output, () => true, 40)).length, 40)
    assert.ok(attemptsOf(one).length <= 4, 'one has no more handlers than its own concurrency')
    release.resolve()
    assert.equal((await topics.read(one.output, () => true, 40)).length, 40)
    assert.deepEqual(await outputIds(one), [...events, ...more].map(({ id }) => id).sort())
  })

  it('do not leave their groups with each other: one is fenced, starts again and goes on', async () => {
    make({})
    start()
    await running.ready
    const events = someEvents(12)
    await topics.append(events)
    await topics.read(one.output, () => true, 12)
    await topics.read(two.output, () => true, 12)
    const kafka = rawKafka(connection.brokers)
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const owner = await rawTransactionalProducer(kafka, `${one.config.groupId}-${partition}`)
      const transaction = await owner.transaction()
      const message = { partition, key: `${one.source}/nothing`, value: null }
      await transaction.send({ topic: one.config.topics.claims, messages: [message] })
      await transaction.abort()
      await owner.disconnect()
    }
    const more = someEvents(12)
    await topics.append(more)
    const ids = [...events, ...more].map(({ id }) => id).sort()
    for (const processor of [one, two]) {
      await topics.read(processor.output, () => true, 24)
      assert.deepEqual(await outputIds(processor), ids)
    }
    assert.ok(hasLogged(one, 'left the group'))
    assert.ok(!hasLogged(two, 'left the group'))
    assert.deepEqual(attemptsOf(two).sort(), ids)
  })

  it('say that one cannot start, and the other runs until both are drained', async () => {
    make({})
    start()
    await running.ready
    await running.drain(2_000)
    const topic = one.config.topics.redrive
    await rawAdmin(rawKafka(connection.brokers), admin =>
      admin.createPartitions({ topicPartitions: [{ topic, count: PARTITIONS + 1 }] }),
    )
    start()
    await assert.rejects(running.failed, { code: 'SP_PARTITION_COUNT' })
    await topics.append(someEvents(4))
    assert.equal((await topics.read(two.output, () => true, 4)).length, 4)
    assert.deepEqual(attemptsOf(one), [])
  })

  it('drain together: both settle what is in flight, and leave their groups', async () => {
    const release = Promise.withResolvers<void>()
    make({ first: () => release.promise, second: () => release.promise })
    start()
    await running.ready
    const events = someEvents(2)
    await topics.append(events)
    await waitFor(() => attempts.length === 4)
    const drained = running.drain(30_000)
    release.resolve()
    await drained
    const ids = events.map(({ id }) => id).sort()
    assert.deepEqual([await outputIds(one), await outputIds(two)], [ids, ids])
    assert.deepEqual(await memberCounts(), [0, 0])
  })
})
