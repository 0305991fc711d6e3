/** What is read again behind a log that lost its end. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Event } from '@sallyport/core/event'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { positionsRecord } from '@sallyport/processor/claims-record'
import { POSITIONS_SCHEMA } from '@sallyport/processor/config'
import { eventOn, type RawRecord, Topics } from '../support/events.ts'
import { agentEvent, PARTITIONS, type TestProcessor, testProcessor } from '../support/processor.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

const EVENTS = 'sallyport.events'
const SHORT_WINDOW_MS = 1_000

describe('a log that lost its end', function () {
  this.timeout(60_000)
  let connection: { brokers: readonly string[]; registryUrl: string }
  let topics: Topics
  let processor: TestProcessor

  before(async () => {
    connection = await sharedCluster()
    topics = new Topics(connection, PARTITIONS)
  })
  after(() => topics.close())
  afterEach(() => processor.stop())

  function event(windowMs: number | null): Event {
    return { ...eventOn(0, PARTITIONS, processor.source, {}), windowMs }
  }

  async function process(...events: readonly Event[]): Promise<void> {
    const running = await processor.start()
    await topics.append(events)
    const isOneOf = ({ key }: { key: string | null }) => events.some(({ id }) => id === key)
    await topics.read(processor.output, isOneOf, events.length)
    await running.drain(2_000)
  }

  async function standingIn(claims: string) {
    const records = await topics.readAll(claims, ({ key }) => key === '#positions')
    const last = records.findLast(({ partition }) => partition === 0) as RawRecord
    return POSITIONS_SCHEMA.type.fromBuffer((last.value as Buffer).subarray(5))
  }

  it('runs nothing again whose own window has passed, and passes over nothing that is new', async () => {
    // Setup: the window is a day; of one source, whose ids are digests, it is a second. An event of each was processed, and
    // the position lies behind the end of the log, as a version before told it: without what the log is. Timeline: the
    // second passes; one more event of each comes, and waits for longer than a second; the processor starts. Proves: the
    // claim of the digest has expired, and yet it does not run again: it was there when the position was written. What came
    // later runs, though its own window has passed.
    processor = testProcessor(connection, ({ id }, { attempt, emit }) =>
      emit(processor.output, agentEvent(id, attempt)),
    )
    const { claims } = processor.config.topics
    const before = [event(SHORT_WINDOW_MS), event(null)]
    await process(...before)
    const { inputs, logs } = await standingIn(claims)
    assert.equal(logs[EVENTS].leaderEpoch >= 0, true)
    assert.equal(logs[EVENTS].readTo, inputs[EVENTS])
    const schemaId = await createRegistry(connection.registryUrl).register(
      POSITIONS_SCHEMA.name,
      POSITIONS_SCHEMA,
    )
    const { key, value } = positionsRecord(schemaId, [{ topic: EVENTS, offset: inputs[EVENTS] + 1_000_000 }])
    await topics.appendRaw(claims, [{ partition: 0, key: String(key), value }])
    await sleep(SHORT_WINDOW_MS + 500)
    const later = [event(SHORT_WINDOW_MS), event(null)]
    await topics.append(later)
    await sleep(SHORT_WINDOW_MS + 500)
    const last = event(null)
    await process(last)
    const ids = (await topics.readAll(processor.output)).map(({ key }) => key)
    assert.deepEqual(ids.sort(), [...before, ...later, last].map(({ id }) => id).sort())
    assert.match(processor.lines.join(), /SP_TOPIC_RECREATED: sallyport\.events\/0 ends at/)
  })
})
