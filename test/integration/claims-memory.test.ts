import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Handler } from '@sallyport/processor'
import { eventOf, Topics } from '../support/events.ts'
import {
  agentEvent,
  PARTITIONS,
  type TestProcessor,
  testProcessor,
  testSettings,
} from '../support/processor.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

/** What the stores of all partitions take while they are empty. */
const EMPTY_BYTES = PARTITIONS * 64 * 256

describe('a processor whose memory for claims is used up', function () {
  this.timeout(60_000)
  let connection: { brokers: readonly string[]; registryUrl: string }
  let topics: Topics
  let processor: TestProcessor

  const handler: Handler = (event, { attempt, emit }) => emit(processor.output, agentEvent(event.id, attempt))

  function limited(claimsBytesMax: number, extra = '') {
    const settings = testSettings(extra)
    return { ...settings, processing: { ...settings.processing, claimsBytesMax } }
  }

  before(async () => {
    connection = await sharedCluster()
    topics = new Topics(connection, PARTITIONS)
  })
  after(() => topics.close())
  afterEach(() => processor.stop())

  it('takes no events, and loses none: a process with more memory processes them', async () => {
    processor = testProcessor(connection, handler, {}, limited(1))
    const cramped = await processor.start()
    const events = Array.from({ length: 5 }, () => eventOf(processor.source, {}))
    await topics.append(events)
    await sleep(2_000)
    assert.deepEqual(await topics.readAll(processor.output), [])
    await cramped.drain(1_000)
    const roomy = processor.startWith(testSettings())
    await topics.read(processor.output, () => true, events.length)
    assert.equal((await topics.readAll(processor.output)).length, events.length)
    await (await roomy).drain(1_000)
  })

  it('goes on by itself once claims expire', async () => {
    processor = testProcessor(connection, handler, {}, limited(EMPTY_BYTES + 1, 'window: 1s'))
    await processor.start()
    for (const count of [1, 2]) {
      await topics.append([eventOf(processor.source, {})])
      const outputs = await topics.read(processor.output, () => true, count)
      assert.equal(outputs.length, count, processor.lines.join(''))
    }
  })

  it('goes on with the events that wait in a tier, which give their memory back', async () => {
    // Setup: there is memory for one claim. Timeline: the first attempt at an event fails, and its claim, which waits
    // and never expires, takes all of it; then a second event comes. Proves: the retry is run although there is no
    // room, for nothing else makes some; and new events go on once the claim has expired.
    const failing: Handler = (event, context) => {
      if (context.attempt === 1) throw new Error('not yet')
      return handler(event, context)
    }
    processor = testProcessor(connection, failing, {}, limited(EMPTY_BYTES + 1, 'window: 1s'))
    await processor.start()
    for (const count of [1, 2]) {
      await topics.append([eventOf(processor.source, {})])
      const outputs = await topics.read(processor.output, () => true, count)
      assert.equal(outputs.length, count, processor.lines.join(''))
    }
  })
})

describe('a processor with little memory', function () {
  this.timeout(60_000)

  it('takes of a fetch what it has room for, and processes each event once', async () => {
    // Setup: 300 events of 60 KiB lie in four partitions, and a fetch of one brings a megabyte; half of them fail once.
    // The process may hold 16 MiB, of which an input's queue has a quarter of one for certain. Proves: what is not taken
    // is fetched again, and nothing is passed over or comes twice.
    const connection = await sharedCluster()
    const topics = new Topics(connection, PARTITIONS)
    const settings = testSettings()
    const little = { ...settings, processing: { ...settings.processing, memoryBytesMax: 16_777_216 } }
    const handler: Handler = (event, { attempt, emit }) => {
      if (attempt === 1 && Number(event.id.at(-1)) % 2 === 0) throw new Error('not yet')
      emit(processor.output, agentEvent(event.id, attempt))
    }
    const processor = testProcessor(connection, handler, {}, little)
    try {
      const events = Array.from({ length: 300 }, (_, i) =>
        eventOf(processor.source, { text: 'x'.repeat(60_000) }, `large-${i}`),
      )
      for (let i = 0; i < events.length; i += 50) await topics.append(events.slice(i, i + 50))
      await processor.start()
      await topics.read(processor.output, () => true, events.length)
      await sleep(500)
      const ids = (await topics.readAll(processor.output)).map(({ key }) => String(key))
      assert.deepEqual(ids.sort(), events.map(({ id }) => id).sort())
    } finally {
      await processor.stop()
      await topics.close()
    }
  })
})
