import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { MESSAGE_CHARS_MAX, parseHistory } from '@sallyport/core/attempt'
import { encodeEvent } from '@sallyport/core/codec'
import type { Event } from '@sallyport/core/event'
import { eventHeaders, HEADER } from '@sallyport/core/headers'
import { ensureTopics } from '@sallyport/core/kafka/admin'
import { encodeBatch, encodeRecord } from '@sallyport/core/kafka/record-batch'
import { settingsVariants } from '@sallyport/core/metrics'
import { eventRecordBytesMax } from '@sallyport/core/topics'
import type { Handler, ProcessorDefinition } from '@sallyport/processor'
import { processorProvision } from '@sallyport/processor/config'
import type { RunningProcessors } from '@sallyport/processor/main'
import { eventOf, eventOn, type RawRecord, Topics, TRACEPARENT } from '../support/events.ts'
import {
  agentEvent,
  PARTITIONS,
  type TestProcessor,
  testProcessor,
  testSettings,
} from '../support/processor.ts'
import { rawAdmin, rawKafka } from '../support/raw-kafka.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { waitFor } from '../support/wait-for.ts'

describe('retry tiers', function () {
  this.timeout(90_000)
  let connection: { brokers: readonly string[]; registryUrl: string }
  let topics: Topics
  const started: TestProcessor[] = []

  before(async () => {
    connection = await sharedCluster()
    topics = new Topics(connection, PARTITIONS)
  })
  after(() => topics.close())
  afterEach(async () => {
    for (const processor of started.splice(0)) await processor.stop()
  })

  /** The same processor with other settings, as another process would run it. */
  function variant(handler: Handler, definition: Partial<ProcessorDefinition>, name?: string): TestProcessor {
    const processor = testProcessor(connection, handler, definition, testSettings(), name)
    started.push(processor)
    return processor
  }

  async function moved(topic: string, source: string, count: number): Promise<RawRecord[]> {
    return await topics.read(topic, ({ key }) => key?.startsWith(`${source}/`) === true, count)
  }

  async function stop(running: RunningProcessors): Promise<void> {
    await running.drain(2_000)
  }

  it('what waits in a tier that the settings no longer name is processed, by the delay that it was promised', async () => {
    // Timeline: 20 events wait in the second tier; the processor comes back with one tier. Proves: the second topic is
    // read all the same, its records are due by their own delay, and each takes effect once.
    const attempts: { attempt: number; at: number }[] = []
    const before = variant(
      (event, { attempt }) => {
        throw new Error(`${event.id} not yet, ${attempt}`)
      },
      { retry: ['50ms', '3s'], breaker: { attemptsMin: 100 } },
    )
    const first = await before.start()
    const events = Array.from({ length: 20 }, () => eventOf(before.source, {}))
    await topics.append(events)
    const waiting = await moved(before.config.topics.retry[1] as string, before.source, events.length)
    await stop(first)
    const after = variant(
      (event, { attempt, emit }) => {
        attempts.push({ attempt, at: Date.now() })
        emit(before.output, agentEvent(event.id, attempt))
      },
      { retry: ['50ms'] },
      before.config.name,
    )
    await after.start()
    await topics.read(after.output, () => true, events.length)
    const outputs = await topics.readAll(after.output)
    assert.deepEqual(outputs.map(({ key }) => key).sort(), events.map(({ id }) => id).sort())
    assert.deepEqual([...new Set(attempts.map(({ attempt }) => attempt))], [3])
    const promised = Math.min(...waiting.map(({ timestamp }) => timestamp)) + 3_000
    assert.ok(Math.min(...attempts.map(({ at }) => at)) >= promised - 50)
  })

  it('the place in a tier outlives an owner that does not know it', async () => {
    // Timeline: events pass through two tiers; an owner with one tier works on; the tier is named again, and further
    // events pass through it. Proves: positions that an owner does not use are kept, and nothing runs twice.
    const runs = new Map<string, number>()
    const handler: Handler = (event, { attempt, emit }) => {
      runs.set(`${event.id} ${attempt}`, (runs.get(`${event.id} ${attempt}`) ?? 0) + 1)
      if (attempt < 3 && String(event.body).includes('slow')) throw new Error('not yet')
      emit(wide.output, agentEvent(event.id, attempt))
    }
    const wide = variant(handler, { retry: ['50ms', '50ms'], breaker: { attemptsMin: 100 } })
    const narrow = variant(handler, { retry: ['50ms'] }, wide.config.name)
    const batches = [true, false, true].map(slow =>
      Array.from({ length: 10 }, () => eventOf(wide.source, { kind: slow ? 'slow' : 'quick' })),
    )
    let total = 0
    for (const [i, processor] of [wide, narrow, wide].entries()) {
      const running = await processor.start()
      const batch = batches[i] ?? []
      await topics.append(batch)
      total += batch.length
      await topics.read(wide.output, () => true, total)
      await stop(running)
    }
    const outputs = await topics.readAll(wide.output)
    assert.deepEqual(
      outputs.map(({ key }) => key).sort(),
      batches
        .flat()
        .map(({ id }) => id)
        .sort(),
    )
    assert.deepEqual([...new Set(runs.values())], [1])
  })

  it('processes of one name with different settings say so, and each event takes effect once', async () => {
    // Timeline: one process with one tier, another with two, events that fail twice; while some wait in the second tier,
    // both stop, and the process that does not name it starts again. Proves: SP_SETTINGS_DIFFER is logged and counted; a
    // partition follows its owner, so an event ends where that one's settings say; one that waits in a tier that only the
    // other names is not lost.
    const handler: Handler = (event, { attempt, emit }) => {
      if (attempt < 3) throw new Error('not yet')
      emit(one.output, agentEvent(event.id, attempt))
    }
    const breaker = { attemptsMin: 100 }
    const one = variant(handler, { retry: ['100ms'], version: '1', breaker })
    const two = variant(handler, { retry: ['100ms', '2s'], version: '2', breaker }, one.config.name)
    const running = [await one.start(), await two.start()]
    await waitFor(() => [...one.lines, ...two.lines].some(line => line.includes('SP_SETTINGS_DIFFER')))
    const line = [...one.lines, ...two.lines].find(text => text.includes('SP_SETTINGS_DIFFER')) ?? ''
    assert.match(line, /differ in version, retry/)
    const { values } = await settingsVariants.get()
    assert.equal(values.find(({ labels }) => labels.processor === one.config.name)?.value, 2)
    const events = Array.from({ length: 40 }, () => eventOf(one.source, {}))
    await topics.append(events)
    await moved(two.config.topics.retry[1] as string, one.source, 1)
    await Promise.all(running.map(stop))
    await one.start()
    const { deadLetter } = one.config.topics
    const ends = async () => {
      const mine = ({ key }: RawRecord) => key?.startsWith(`${one.source}/`) === true
      const [outputs, dead] = [await topics.readAll(one.output), await topics.readAll(deadLetter, mine)]
      return { outputs: outputs.length, dead: dead.length, ids: [...outputs, ...dead].map(({ key }) => key) }
    }
    let ended = await ends()
    while (ended.ids.length < events.length) ended = await ends()
    assert.deepEqual(ended.ids.sort(), events.map(({ id }) => id).sort())
    assert.ok(ended.outputs > 0 && ended.dead > 0, `${ended.outputs} outputs, ${ended.dead} dead letters`)
  })

  it('a tier that was deleted and made again is read from its start, and that is said', async () => {
    // Timeline: events pass through the tier; the processor stops; the tier is deleted and made again, with a retry that
    // took effect long ago and one that never did; the processor starts. Proves: the position behind the new end is
    // given up for the start, and claims keep out what took effect.
    const processor = variant(
      (event, { attempt, emit }) => {
        if (attempt < 2) throw new Error('not yet')
        emit(processor.output, agentEvent(event.id, attempt))
      },
      { retry: ['50ms'], breaker: { attemptsMin: 100 } },
    )
    const someEvents = (count: number) =>
      Array.from({ length: count }, () => eventOn(1, PARTITIONS, processor.source, {}))
    const first = await processor.start()
    const before = someEvents(8)
    await topics.append(before)
    await topics.read(processor.output, () => true, before.length)
    await stop(first)
    const [tier] = processor.config.topics.retry as [string]
    const kafka = rawKafka(connection.brokers)
    await rawAdmin(kafka, admin => admin.deleteTopics({ topics: [tier] }))
    // What `sallyport topics apply` does.
    await ensureTopics(kafka, processorProvision(testSettings(), processor.config).topics)
    const [restored] = someEvents(1) as [Event]
    const headers = { [HEADER.attempt]: '2', [HEADER.delay]: '50' }
    await topics.append([before[0] as Event, restored], tier, headers)
    await processor.start()
    await waitFor(() =>
      processor.lines.some(line => line.includes(`SP_TOPIC_RECREATED: ${tier}/1 is not the one`)),
    )
    const after = someEvents(4)
    await topics.append(after)
    await topics.read(processor.output, () => true, before.length + 1 + after.length)
    const outputs = await topics.readAll(processor.output)
    const ids = [...before, restored, ...after].map(({ id }) => id)
    assert.deepEqual(outputs.map(({ key }) => key).sort(), ids.sort())
  })

  it('a topic that is deleted and made again while it is read loses none of the new records', async () => {
    // Timeline: a processor has read five records of its redrive lane; the lane is deleted and made again at once, with
    // two records. Proves: they are not taken for a repetition of the old ones, at the same offsets.
    const processor = variant((event, { attempt, emit }) => {
      emit(processor.output, agentEvent(event.id, attempt))
    }, {})
    const events = Array.from({ length: 7 }, () => eventOn(1, PARTITIONS, processor.source, {}))
    const { redrive } = processor.config.topics
    await processor.start()
    await topics.append(events.slice(0, 5), redrive, { [HEADER.generation]: '1' })
    await topics.read(processor.output, () => true, 5)
    const kafka = rawKafka(connection.brokers)
    await rawAdmin(kafka, admin => admin.deleteTopics({ topics: [redrive] }))
    await ensureTopics(kafka, processorProvision(testSettings(), processor.config).topics)
    await topics.append(events.slice(5), redrive, { [HEADER.generation]: '1' })
    await topics.read(processor.output, () => true, 7)
    const outputs = await topics.readAll(processor.output)
    assert.deepEqual(outputs.map(({ key }) => key).sort(), events.map(({ id }) => id).sort())
  })

  it('the largest record that the ingress can write fits into every tier and the dead letter, with all they add', async () => {
    // Setup: a record as large as sallyport.events takes, its body as long as bodies may be. Timeline: it fails in as
    // many tiers as settings allow, with messages of the longest kind. Proves: the headroom holds; without it the
    // transaction that moves it on would fail for ever, and the partition with it.
    const tiers = 16
    const processor = variant(
      () => {
        // Each half of a pair alone takes six bytes in the history and three in a header.
        throw new Error('\ud800'.repeat(10_000))
      },
      { retry: Array.from({ length: tiers }, () => '1ms'), breaker: { attemptsMin: 100 } },
    )
    await processor.start()
    const settings = testSettings()
    const { bodyBytesMax } = settings.ingress
    const event = { ...eventOf(processor.source, {}), body: randomBytes(bodyBytesMax) }
    const largest = padded(event, eventRecordBytesMax(bodyBytesMax))
    await assert.rejects(
      topics.append([{ ...largest, headers: { pad: `${largest.headers.pad}x` } }]),
      /MESSAGE_TOO_LARGE/,
    )
    await topics.append([largest])
    const [dead] = await moved(processor.config.topics.deadLetter, processor.source, 1)
    assert.ok(dead)
    const [accepted] = await moved('sallyport.events', processor.source, 1)
    assert.ok(accepted?.value?.equals(dead.value as Buffer), 'the original bytes')
    assert.equal(dead.headers['sallyport-attempt'], String(tiers + 1))
    assert.equal(parseHistory(dead.headers['sallyport-history']).length, tiers + 1)
    assert.equal(dead.headers['sallyport-message']?.length, MESSAGE_CHARS_MAX)
  })
})

/** The event with a header so long that its record is a batch of just so many bytes. */
function padded(event: Event, batchBytes: number): Event {
  const key = Buffer.from(event.id)
  const identity = { producerId: 0n, epoch: 0, sequence: 0 }
  let length = 0
  for (let missing = batchBytes; missing !== 0; length += missing) {
    const longer = { ...event, headers: { pad: 'x'.repeat(length) } }
    const record = { key, value: encodeEvent(1, longer), headers: eventHeaders(longer, TRACEPARENT) }
    missing = batchBytes - encodeBatch([encodeRecord(record)], identity, 0).length
  }
  return { ...event, headers: { pad: 'x'.repeat(length) } }
}
