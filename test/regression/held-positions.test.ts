/**
 * Positions that are held for longer than a window. What was settled behind them has lost its claims by then, and the next
 * owner reads it again. Each test states its setup, its timeline, and what it proves.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Event } from '@sallyport/core/event'
import type { Handler, ProcessorDefinition } from '@sallyport/processor'
import type { RunningProcessors } from '@sallyport/processor/main'
import { eventOn, type RawRecord, Topics } from '../support/events.ts'
import {
  agentEvent,
  PARTITIONS,
  type TestProcessor,
  testProcessor,
  testSettings,
} from '../support/processor.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { waitFor } from '../support/wait-for.ts'

const WINDOW_MS = 4_000

describe('a position that is held for longer than a window', function () {
  this.timeout(90_000)
  let connection: { brokers: readonly string[]; registryUrl: string }
  let topics: Topics
  let processor: TestProcessor
  /** Event id → how often a handler began with it. */
  let runs: Map<string, number>
  const release: (() => void)[] = []

  before(async () => {
    connection = await sharedCluster()
    topics = new Topics(connection, PARTITIONS)
  })
  after(() => topics.close())
  beforeEach(() => {
    runs = new Map()
  })
  afterEach(async () => {
    for (const end of release.splice(0)) end()
    await processor.stop()
  })

  /** Processes every event, once `ready` lets it. */
  function processing(ready: (event: Event) => unknown, definition: Partial<ProcessorDefinition> = {}): void {
    const handler: Handler = async (event, { attempt, emit }) => {
      runs.set(event.id, (runs.get(event.id) ?? 0) + 1)
      await ready(event)
      emit(processor.output, agentEvent(event.id, attempt))
    }
    processor = testProcessor(connection, handler, definition, testSettings(`window: ${WINDOW_MS}ms`))
  }

  function event(): Event {
    return eventOn(0, PARTITIONS, processor.source, {})
  }

  function isOf({ id }: Event): (record: RawRecord) => boolean {
    return ({ key }) => key === id
  }

  async function outputs(...events: readonly Event[]): Promise<number[]> {
    const all = await topics.readAll(processor.output)
    return events.map(event => all.filter(isOf(event)).length)
  }

  /** The process ends, as one that is killed: what its handlers still do counts no more. Another one begins. */
  async function takeOver(running: RunningProcessors): Promise<void> {
    await running.drain(0)
    await processor.start()
    const last = event()
    await topics.append([last])
    await topics.read(processor.output, isOf(last), 1)
  }

  it('by an attempt lets nothing run again that was processed behind it', async () => {
    // Setup: a window of 4 s, and a handler that runs for longer. Timeline: an event is being attempted, another one of its
    // partition is processed; 8 s pass; another process takes over. Proves: the position has passed both, so the second is
    // not read again, whose claim has expired; the first one waited in the tier, under the same attempt number.
    const held = Promise.withResolvers<void>()
    release.push(held.resolve)
    let isFirst = true
    processing(({ id }) => {
      if (id !== slow?.id || !isFirst) return
      isFirst = false
      return held.promise
    })
    const slow = event()
    const quick = event()
    const running = await processor.start()
    await topics.append([slow, quick])
    await topics.read(processor.output, isOf(quick), 1)
    await sleep(2 * WINDOW_MS)
    await takeOver(running)
    const [found] = await topics.read(processor.output, isOf(slow), 1)
    assert.equal((await topics.decode(found?.value as Buffer)).attempt, 1)
    assert.deepEqual(await outputs(slow, quick), [1, 1])
    assert.equal(runs.get(quick.id), 1)
  })

  it('by an attempt that ends after all has one effect, that of the attempt', async () => {
    // Setup: as before. Timeline: the attempt ends after it was set aside, and after its record in the tier was due; the
    // event is sent again meanwhile. Proves: its outcome is settled without its record, and both other records are
    // duplicates.
    processing(({ id }) => (id === slow?.id ? sleep(WINDOW_MS) : undefined))
    const slow = event()
    await processor.start()
    await topics.append([slow])
    await sleep(WINDOW_MS / 2)
    await topics.append([slow])
    await topics.read(processor.output, isOf(slow), 1)
    await sleep(1_500)
    assert.deepEqual(await outputs(slow), [1])
    assert.equal(runs.get(slow.id), 1)
    const [tier] = processor.config.topics.retry as [string]
    assert.ok((await topics.readAll(tier, isOf(slow))).length >= 1)
  })

  it('by a record that an open breaker put back lets nothing run again', async () => {
    // Setup: a breaker that opens with the first failure and probes after an hour. Timeline: an event is attempted; one
    // behind it is processed, the next one fails, which opens the breaker; the first one fails too, and is put back; 8 s
    // pass; another process takes over, and the outage is over. Proves: the event that was put back waits in the tier.
    let isDown = true
    processing(
      async ({ id }) => {
        if (id === quick?.id || !isDown) return
        if (id === slow?.id) await sleep(1_000)
        if (isDown) throw Object.assign(new Error('down'), { code: 'ECONNREFUSED' })
      },
      { breaker: { attemptsMin: 1, pause: '1h', pauseMax: '1h', errorRate: 0.01 } },
    )
    const [slow, quick, failing] = [event(), event(), event()]
    const running = await processor.start()
    await topics.append([slow, quick])
    await topics.read(processor.output, isOf(quick), 1)
    await topics.append([failing])
    await sleep(2 * WINDOW_MS)
    isDown = false
    await takeOver(running)
    await topics.read(processor.output, isOf(slow), 1)
    await topics.read(processor.output, isOf(failing), 1)
    assert.deepEqual(await outputs(slow, quick, failing), [1, 1, 1])
  })

  it('by a repetition that was put back before a pause lets nothing run again', async () => {
    // Setup: an event is being attempted, and sent again meanwhile; one behind it is processed. Timeline: an operator
    // pauses the processor; the attempt ends, and the repetition is put back; 8 s pass; another process takes over.
    // Proves: the repetition was settled as a duplicate during the pause. Else all three would be read again.
    const held = Promise.withResolvers<void>()
    release.push(held.resolve)
    processing(({ id }) => (id === slow?.id ? held.promise : undefined))
    const slow = event()
    const quick = event()
    const running = await processor.start()
    await topics.append([slow, slow, quick])
    await topics.read(processor.output, isOf(quick), 1)
    running.gates.get(processor.config.name)?.hold('paused')
    held.resolve()
    await topics.read(processor.output, isOf(slow), 1)
    await sleep(2 * WINDOW_MS)
    await takeOver(running)
    await sleep(1_000)
    assert.deepEqual(await outputs(slow, quick), [1, 1])
  })

  it('by a record that was put back, in a processor without tiers, ends in the dead letter', async () => {
    // Setup: as with the breaker, without a tier that the event could wait in. Timeline: it is put back; 4 s pass. Proves:
    // it is in the dead letter, for an operator to send round again, and holds nothing up.
    processing(
      async ({ id }) => {
        if (id === slow?.id) await sleep(500)
        throw Object.assign(new Error('down'), { code: 'ECONNREFUSED' })
      },
      { retry: [], breaker: { attemptsMin: 1, pause: '1h', pauseMax: '1h', errorRate: 0.01 } },
    )
    const [slow, failing] = [event(), event()]
    await processor.start()
    await topics.append([slow])
    await waitFor(() => runs.has(slow.id))
    await topics.append([failing])
    const dead = await topics.read(processor.config.topics.deadLetter, isOf(slow), 1)
    assert.match(String(dead[0]?.headers['sallyport-message']), /no retry tier is there to wait in/)
  })
})
