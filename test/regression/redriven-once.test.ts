/** What is redriven takes effect only where its id has not taken effect since: the real binary, a real broker. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { encodeEvent } from '@sallyport/core/codec'
import type { Event } from '@sallyport/core/event'
import { eventHeaders, HEADER } from '@sallyport/core/headers'
import { partitionOf } from '@sallyport/core/partition'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import { eventOf, TRACEPARENT } from '../support/events.ts'
import { Operator } from '../support/operator.ts'
import { PARTITIONS, testSettings } from '../support/processor.ts'

const WINDOW_MS = 4_000

describe('a letter whose id has taken effect since it died', function () {
  // Each command is a process, and a busy machine takes its time.
  this.timeout(300_000)
  let operator: Operator

  afterEach(() => operator.leave())

  function outputs(count: number) {
    return operator.topics.read(operator.processor.output, () => true, count)
  }

  async function letters(count: number) {
    const mine = ({ key }: { key: string | null }) => key?.startsWith(operator.processor.source) === true
    return await operator.topics.read(operator.processor.config.topics.deadLetter, mine, count)
  }

  /** An event on a partition that its key does not belong to. */
  async function misplace(event: Event): Promise<void> {
    // Any event tells the id of the schema.
    const [like] = await operator.topics.read(EVENTS_TOPIC, () => true, 1)
    const key = Buffer.from(event.id)
    await operator.topics.appendRaw(EVENTS_TOPIC, [
      {
        partition: (partitionOf(key, PARTITIONS) + 1) % PARTITIONS,
        key,
        value: encodeEvent((like as { value: Buffer }).value.readInt32BE(1), event),
        headers: eventHeaders(event, TRACEPARENT),
      },
    ])
  }

  /** What a redrive that had picked an event before it took effect would put into the lane. */
  async function sendRound(event: Event, generation: number, headers: Record<string, string>): Promise<void> {
    const { redrive } = operator.processor.config.topics
    const round = { [HEADER.generation]: String(generation), [HEADER.attempt]: '1', ...headers }
    await operator.topics.append([event], redrive, round)
  }

  it('is not redriven when it was misplaced and its sender has repeated it: one output, and it is processed', async () => {
    // Setup: a foreign producer puts an event on the wrong partition; it is dead-lettered without a claim. Timeline: its
    // sender repeats it, and it is processed at home; `dlq redrive --code SP_MISPLACED`, as the guide advises. Proves: the
    // letter counts as processed, nothing is sent, and the handler has run once.
    operator = await Operator.withProcessor()
    operator.isBroken = () => false
    const event = eventOf(operator.processor.source, { n: 1 })
    const other = eventOf(operator.processor.source, { n: 2 })
    await operator.topics.append([other])
    await misplace(event)
    await letters(1)
    assert.equal((await operator.listed('--state', 'dead')).length, 1)
    await operator.topics.append([event])
    await outputs(2)
    assert.equal((await operator.listed('--state', 'processed')).length, 1)
    const redriven = await operator.dlq('redrive', '--code', 'SP_MISPLACED', '--yes')
    assert.equal(redriven.code, 3, redriven.stdout)
    assert.deepEqual(await operator.outputIds(2), [event.id, other.id].sort())
  })

  it('is a duplicate in the lane, marked or by an earlier version; a replay passes, and so does what it could not read', async () => {
    // Setup: an event is processed. Timeline: records of it come through the lane, each of a later generation: redriven,
    // redriven by a version that did not mark it, replayed, replayed again by the same operation, redriven after a replay
    // that could not read it. Proves: the claim rule in the lane decides, for whoever picked the letters had looked
    // before the event took effect; only what is replayed passes over DONE, once for each operation.
    operator = await Operator.withProcessor()
    operator.isBroken = () => false
    const event = eventOf(operator.processor.source, { n: 1 })
    await operator.topics.append([event])
    await outputs(1)
    await sendRound(event, 1_000_001, { [HEADER.redriven]: '0' })
    await sendRound(event, 1_000_002, {})
    await sendRound(event, 1_000_003, { [HEADER.replayed]: 'true' })
    await sendRound(event, 1_000_003, { [HEADER.replayed]: 'true' })
    await sendRound(event, 1_000_009, { [HEADER.redriven]: '1000002' })
    await sendRound(event, 1_000_009, { [HEADER.redriven]: '1000008' })
    // Behind them in the lane.
    const last = eventOf(operator.processor.source, { n: 2 }, 'last')
    const same = await eventBehind(event, last)
    await sendRound(same, 1_000_010, { [HEADER.redriven]: '0' })
    await operator.topics.read(operator.processor.output, ({ key }) => key === same.id, 1)
    const ids = await operator.outputIds(4)
    assert.deepEqual(ids, [event.id, event.id, event.id, same.id].sort())
  })

  /** Another event of the same partition. */
  async function eventBehind(event: Event, like: Event): Promise<Event> {
    const home = (id: string): number => partitionOf(Buffer.from(id), PARTITIONS)
    for (let n = 0; ; n++) {
      const id = `${like.id}-${n}`
      if (home(id) === home(event.id)) return { ...like, id }
    }
  }

  it('is not redriven when it came again after the window and was processed: one output', async () => {
    // Setup: a window of four seconds; an event dies. Timeline: the window passes, its sender sends it again, and this
    // time it is processed; `dlq redrive`. Proves: the letter counts as processed, and the handler has run once.
    operator = await Operator.withProcessor(undefined, testSettings(`window: ${WINDOW_MS}ms`))
    const event = eventOf(operator.processor.source, { n: 1 })
    await operator.topics.append([event])
    await letters(1)
    operator.isBroken = () => false
    await sleep(WINDOW_MS + 500)
    await operator.topics.append([event])
    await outputs(1)
    assert.equal((await operator.listed('--state', 'processed')).length, 1)
    assert.equal((await operator.dlq('redrive', '--yes')).code, 3)
    assert.equal((await operator.outputIds(1)).length, 1)
  })

  it('is not redriven behind the window either, where another letter of the id was: the audit says so', async () => {
    // Setup: an event is misplaced twice, so that there are two letters of one id. Timeline: one of them is redriven and
    // processed; the window passes, and no claim tells of it any more; the other one is redriven. Proves: that the first
    // one was sent is known from the audit, the second counts as processed, and the handler has run once.
    operator = await Operator.withProcessor(undefined, testSettings(`window: ${WINDOW_MS}ms`))
    operator.isBroken = () => false
    const event = eventOf(operator.processor.source, { n: 1 })
    const other = eventOf(operator.processor.source, { n: 2 })
    await operator.topics.append([other])
    await misplace(event)
    await misplace(event)
    await letters(2)
    const redriven = await operator.dlq('redrive', '--limit', '1', '--yes')
    assert.equal(redriven.code, 0, redriven.stderr)
    await outputs(2)
    await sleep(WINDOW_MS + 500)
    // A claim that has expired still lies in its topic; here it is as if compaction had taken it.
    const partition = partitionOf(Buffer.from(event.id), PARTITIONS)
    await operator.topics.appendRaw(operator.processor.config.topics.claims, [
      { partition, key: event.id, value: null },
    ])
    assert.equal((await operator.listed('--state', 'processed')).length, 2)
    assert.equal((await operator.dlq('redrive', '--yes')).code, 3)
    assert.deepEqual(await operator.outputIds(2), [event.id, other.id].sort())
  })
})
