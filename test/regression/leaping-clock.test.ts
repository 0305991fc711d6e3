/** Brokers whose clocks leap. Each test states its setup, its timeline, and what it proves. */
import assert from 'node:assert/strict'
import { ProducerCluster } from '@sallyport/core/kafka/transactions/producer-cluster'
import { eventOn, Topics } from '../support/events.ts'
import {
  agentEvent,
  PARTITIONS,
  type TestProcessor,
  testProcessor,
  testSettings,
} from '../support/processor.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

const LEAP_MS = 25 * 3_600_000

describe('a broker whose clock leaps', function () {
  this.timeout(60_000)
  let connection: { brokers: readonly string[]; registryUrl: string }
  let topics: Topics
  let processor: TestProcessor
  let mend = () => {}

  before(async () => {
    connection = await sharedCluster()
    topics = new Topics(connection, PARTITIONS)
  })
  after(() => topics.close())
  afterEach(async () => {
    mend()
    await processor.stop()
  })

  /** From now on the answers to records have a time that is off by `leapMs()`; returns how many there were. */
  function leap(leapMs: () => number): () => number {
    const { produce } = ProducerCluster.prototype
    let answers = 0
    ProducerCluster.prototype.produce = async function (broker, request) {
      const answer: unknown = await produce.call(this, broker, request)
      if (!Array.isArray(answer) || leapMs() === 0) return answer as never
      answers++
      return answer.map(one => ({ ...one, appendTimeMs: one.appendTimeMs + leapMs() })) as never
    }
    mend = () => {
      ProducerCluster.prototype.produce = produce
    }
    return () => answers
  }

  it('forgets no claim, says so, and holds up no retry', async () => {
    // Setup: a window of a day; an event was processed. Timeline: the broker's answers are 25 hours ahead; other events
    // come, one of which fails at first, and the first event comes again; the answers are right again, and it comes once
    // more. Proves: it is a duplicate each time, and the retry runs when it is due. By the leaping time its claim had
    // expired.
    let leapMs = 0
    const answers = leap(() => leapMs)
    processor = testProcessor(
      connection,
      (event, { attempt, emit }) => {
        const { fails } = JSON.parse(String(event.body)) as { fails?: boolean }
        if (fails && attempt === 1) throw new Error('not yet')
        emit(processor.output, agentEvent(event.id, attempt))
      },
      {},
      testSettings('window: 24h'),
    )
    const event = (body: unknown) => eventOn(0, PARTITIONS, processor.source, body)
    const isOf =
      ({ id }: { id: string }) =>
      ({ key }: { key: string | null }) =>
        key === id
    await processor.start()
    const first = event({})
    await topics.append([first])
    await topics.read(processor.output, isOf(first), 1)
    leapMs = LEAP_MS
    const [retried, quick] = [event({ fails: true }), event({})]
    await topics.append([retried, quick])
    await topics.read(processor.output, isOf(quick), 1)
    await topics.read(processor.output, isOf(retried), 1)
    assert.ok(answers() > 2)
    const next = event({})
    await topics.append([first, next])
    await topics.read(processor.output, isOf(next), 1)
    leapMs = 0
    await topics.append([first])
    const last = event({})
    await topics.append([last])
    await topics.read(processor.output, isOf(last), 1)
    const keys = (await topics.readAll(processor.output)).map(({ key }) => key)
    assert.deepEqual(keys.sort(), [first, retried, quick, next, last].map(({ id }) => id).sort())
    const said = processor.lines.filter(line => line.includes('SP_BROKER_CLOCK'))
    assert.equal(said.length, 1)
    assert.match(said[0] ?? '', /is 90000 s ahead of what the brokers said before/)
  })
})
