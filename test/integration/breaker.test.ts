import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventOf, Topics } from '../support/events.ts'
import { agentEvent, PARTITIONS, type TestProcessor, testProcessor } from '../support/processor.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { waitFor } from '../support/wait-for.ts'

describe('intake of a processor that is held', function () {
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

  async function outputIds(): Promise<(string | null)[]> {
    return (await topics.readAll(processor.output)).map(({ key }) => key).sort()
  }

  it('an outage of a dependency uses up no retries and fills no dead letter; when it ends all goes on by itself', async () => {
    // Timeline: 100 events meet a dependency that is down; the breaker opens and at least five probes fail, more than
    // there are tiers; events go on arriving; the dependency comes back. Proves: B1 of breaker.ts. Without it every
    // event would have gone through both tiers into the dead letter meanwhile.
    let down = true
    let failures = 0
    let lastAttempt = 0
    processor = testProcessor(
      connection,
      (event, { attempt, emit }) => {
        lastAttempt = Math.max(lastAttempt, attempt)
        if (down) {
          failures++
          throw new Error('fetch failed', { cause: { code: 'ECONNREFUSED' } })
        }
        emit(processor.output, agentEvent(event.id, attempt))
      },
      { retry: ['100ms', '200ms'], concurrency: 10, breaker: { pause: '50ms', pauseMax: '100ms' } },
    )
    const running = await processor.start()
    const events = Array.from({ length: 100 }, () => eventOf(processor.source, {}))
    await topics.append(events)
    await waitFor(() => running.gates.get(processor.config.name)?.holds.has('breaker') === true)
    const more = Array.from({ length: 20 }, () => eventOf(processor.source, {}))
    await topics.append(more)
    const before = failures
    await waitFor(() => failures >= before + 10)
    down = false
    await topics.read(processor.output, () => true, events.length + more.length)
    assert.deepEqual(await outputIds(), [...events, ...more].map(({ id }) => id).sort())
    assert.ok(lastAttempt <= 2, `an event was attempted as number ${lastAttempt}`)
    const mine = ({ key }: { key: string | null }) => key?.startsWith(`${processor.source}/`) === true
    assert.equal((await topics.readAll(processor.config.topics.deadLetter, mine)).length, 0)
    const charged = await topics.readAll(processor.config.topics.retry[0] as string, mine)
    assert.ok(charged.length < 20, `${charged.length} events were sent to the first tier`)
    assert.equal(running.gates.get(processor.config.name)?.holds.size, 0)
  })

  it('an event that always fails does not keep the breaker open while others succeed (B3)', async () => {
    let down = true
    processor = testProcessor(
      connection,
      (event, { attempt, emit }) => {
        if (down || String(event.body).includes('broken'))
          throw Object.assign(new Error('no'), { status: 503 })
        emit(processor.output, agentEvent(event.id, attempt))
      },
      {
        retry: ['100ms'],
        concurrency: 1,
        breaker: { attemptsMin: 1, errorRate: 0.9, pause: '50ms', pauseMax: '50ms' },
      },
    )
    const running = await processor.start()
    const broken = eventOf(processor.source, { broken: true })
    await topics.append([broken])
    await waitFor(() => running.gates.get(processor.config.name)?.holds.has('breaker') === true)
    down = false
    const good = Array.from({ length: 5 }, () => eventOf(processor.source, {}))
    await topics.append(good)
    await topics.read(processor.output, () => true, good.length)
    assert.deepEqual(await outputIds(), good.map(({ id }) => id).sort())
  })

  it('while it is paused nothing is attempted and the group is kept; released, it goes on where it was', async () => {
    let attempts = 0
    processor = testProcessor(connection, (event, { attempt, emit }) => {
      attempts++
      emit(processor.output, agentEvent(event.id, attempt))
    })
    const running = await processor.start()
    const gate = running.gates.get(processor.config.name)
    gate?.hold('paused')
    const events = Array.from({ length: 20 }, () => eventOf(processor.source, {}))
    await topics.append(events)
    await topics.read('sallyport.events', ({ key }) => key === events.at(-1)?.id, 1)
    await sleep(500)
    assert.equal(attempts, 0)
    gate?.release('paused')
    await topics.read(processor.output, () => true, events.length)
    assert.deepEqual(await outputIds(), events.map(({ id }) => id).sort())
  })
})
