import assert from 'node:assert/strict'
import type { FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import { ClaimsBudget } from '@sallyport/processor/claims-budget'
import type { InputSpec } from '@sallyport/processor/inputs'
import { ProcessMemory } from '@sallyport/processor/memory'
import { Input, Intake, recordBytes } from '@sallyport/processor/poll'

const events: InputSpec = { topic: 'events', kind: 'events', delayMs: 0 }
const tier: InputSpec = { topic: 'tier', kind: 'retry', delayMs: 1_000 }

function record(topic: string, offset: number, timestamp = 0): FetchedRecord {
  return {
    topic,
    partition: 0,
    offset,
    timestamp,
    key: Buffer.from('k'),
    value: Buffer.from('v'),
    headers: {},
  }
}

function intakeOf(specs: InputSpec[], queueRecordsMax = 10, bytesMax = 1e12) {
  const flow: string[] = []
  const intake = new Intake(
    specs.map(spec => new Input(spec, { offset: 0 })),
    { queueRecordsMax, queueBytesMax: 1e9 },
    new ProcessMemory(new ClaimsBudget(1e9, () => {}), bytesMax).join(specs.length),
    { pause: topic => flow.push(`pause ${topic}`), resume: topic => flow.push(`resume ${topic}`) },
  )
  const offer = (topic: string, offsets: number[], timestamp = 0) =>
    intake.offer({
      topic,
      partition: 0,
      records: offsets.map(offset => record(topic, offset, timestamp)),
      nextOffset: (offsets.at(-1) as number) + 1,
      highWatermark: 100,
    })
  return { intake, flow, offer }
}

describe('intake', () => {
  it('gives the records of the inputs in turn, so that none starves', () => {
    const { intake, offer } = intakeOf([events, { ...tier, delayMs: 0 }])
    offer('events', [0, 1, 2])
    offer('tier', [0, 1, 2])
    const order = Array.from({ length: 6 }, () => intake.next(0)?.topic)
    assert.deepEqual(order, ['events', 'tier', 'events', 'tier', 'events', 'tier'])
  })

  it('holds a tier’s record back until its append time plus the delay, and says when that is', () => {
    const { intake, offer } = intakeOf([events, tier])
    offer('tier', [0], 5_000)
    assert.equal(intake.next(5_999), undefined)
    assert.equal(intake.nextDueAt(5_999), 6_000)
    assert.equal(intake.next(6_000)?.offset, 0)
  })

  it('holds no record that it has given, although its queue never empties', () => {
    const { intake, offer } = intakeOf([events])
    offer('events', [0])
    for (let offset = 1; offset < 100; offset++) {
      offer('events', [offset])
      intake.next(0)
    }
    assert.equal(intake.input('events').queue.filter(Boolean).length, 1)
  })

  it('a tier that waits does not hold up the others', () => {
    const { intake, offer } = intakeOf([tier, events])
    offer('tier', [0], 5_000)
    offer('events', [0])
    assert.equal(intake.next(5_000)?.topic, 'events')
  })

  it('pauses a partition whose queue is full and resumes it when half is gone', () => {
    const { intake, flow, offer } = intakeOf([events], 4)
    offer('events', [0, 1, 2, 3])
    assert.deepEqual(flow, ['pause events'])
    intake.next(0)
    assert.deepEqual(flow, ['pause events'])
    intake.next(0)
    assert.deepEqual(flow, ['pause events', 'resume events'])
  })

  it('holds an input back that is far ahead of its oldest unsettled record, until that is settled (T5)', () => {
    const { intake, offer } = intakeOf([events], 1_000)
    const { watermark } = intake.input('events')
    let taken = 0
    for (let end = 1_000; end <= 300_000; end += 1_000) {
      offer(
        'events',
        Array.from({ length: 1_000 }, (_, i) => end - 1_000 + i),
      )
      for (let next = intake.next(0); next !== undefined; next = intake.next(0)) {
        if (taken++ > 0) watermark.settle(next.offset)
      }
    }
    assert.equal(taken, 250_000)
    assert.equal(intake.nextDueAt(-1), undefined)
    watermark.settle(0)
    assert.equal(intake.next(0)?.offset, 250_000)
  })

  it('without room for claims gives what a tier holds and what was put back, and keeps the rest', () => {
    const { intake, offer } = intakeOf([events, tier, { topic: 'redrive', kind: 'redrive', delayMs: 0 }])
    offer('events', [0, 1])
    offer('redrive', [0])
    offer('tier', [0, 1])
    intake.putBack([intake.next(0) as FetchedRecord])
    const given = Array.from({ length: 4 }, () => intake.next(1_000, false))
    assert.deepEqual(
      given.map(record => record && `${record.topic} ${record.offset}`),
      ['tier 0', 'events 0', 'tier 1', undefined],
    )
    assert.equal(intake.next(1_000)?.topic, 'redrive')
    assert.equal(intake.next(1_000)?.topic, 'events')
  })

  it('takes a record once although a batch that was under way repeats it', () => {
    const { intake, offer } = intakeOf([events])
    offer('events', [0, 1])
    offer('events', [1, 2])
    const offsets = Array.from({ length: 4 }, () => intake.next(0)?.offset)
    assert.deepEqual(offsets, [0, 1, 2, undefined])
  })

  it('passes over records whose offsets do not ascend, and goes on behind them', () => {
    // Setup: a batch from a writer that counts backwards, and one that counts on the spot. Timeline: each is offered,
    // and again from where kafkajs goes on; what is given is settled. Proves: each offset is given once, all can be
    // settled, and the position is behind the batch. Settling used to end the task, each time that it began anew.
    const { intake, offer } = intakeOf([events])
    const { watermark } = intake.input('events')
    for (const offsets of [[3, 2, 1, 0], [3, 2, 1], [4, 4, 5, 5], [5, 5], [6]]) offer('events', offsets)
    const given: number[] = []
    for (let next = intake.next(0); next !== undefined; next = intake.next(0)) given.push(next.offset)
    assert.deepEqual(given, [3, 4, 5, 6])
    for (const offset of given.toReversed()) watermark.settle(offset)
    assert.equal(watermark.position, 7)
    assert.equal(watermark.open, 0)
  })

  it('gives a blocked record again, first, once the input is unblocked', () => {
    const { intake, offer } = intakeOf([events])
    offer('events', [0, 1])
    const taken = intake.next(0) as FetchedRecord
    intake.block(taken)
    assert.equal(intake.next(0), undefined)
    intake.unblock('events')
    assert.equal(intake.next(0)?.offset, 0)
    assert.equal(intake.next(0)?.offset, 1)
  })

  it('gives what was put back and what was fetched in turn', () => {
    const { intake, offer } = intakeOf([events])
    offer('events', [0, 1, 2, 3])
    const taken = [intake.next(0), intake.next(0)] as FetchedRecord[]
    intake.putBack(taken)
    const offsets = Array.from({ length: 5 }, () => intake.next(0)?.offset)
    assert.deepEqual(offsets, [0, 2, 1, 3, undefined])
  })

  it('takes of a fetch what there is memory for, and says from where to read on', () => {
    // Setup: memory for four records in each of the inputs, as they count. Timeline: ten are offered, and what was left
    // once half is gone. Proves: each comes once, in its order, and the partition is paused meanwhile.
    const one = recordBytes(record('events', 0))
    const { intake, flow, offer } = intakeOf([events, tier], 1_000, 32 * one)
    const all = Array.from({ length: 10 }, (_, offset) => offset)
    assert.equal(offer('tier', all), 4)
    assert.deepEqual(flow, ['pause tier'])
    const given: (number | undefined)[] = []
    for (let next = 4; next < 10; ) {
      given.push(intake.next(1_000)?.offset)
      if (flow.at(-1) === 'resume tier') next = offer('tier', all.slice(next)) ?? next
    }
    for (let next = intake.next(1_000); next !== undefined; next = intake.next(1_000)) given.push(next.offset)
    assert.deepEqual(given, all)
  })

  it('takes into a retry tier no more than its share, and leaves the events theirs', () => {
    const one = recordBytes(record('events', 0))
    const { offer } = intakeOf([tier, events], 1_000, 32 * one)
    const all = Array.from({ length: 20 }, (_, offset) => offset)
    assert.equal(offer('tier', all), 4)
    // What nobody's share is: half of the queues' memory, less what the tier holds.
    assert.equal(offer('events', all), 4)
    const alone = intakeOf([tier, events], 1_000, 32 * one)
    assert.equal(alone.offer('events', all), 8)
    assert.equal(alone.offer('tier', all), 4)
  })

  it('takes a record into an empty queue however little memory there is (K6)', () => {
    const { intake, offer } = intakeOf([events, tier], 1_000, 1)
    assert.equal(offer('events', [0, 1]), 1)
    assert.equal(offer('tier', [0, 1]), 1)
    assert.equal(offer('events', [1]), undefined)
    assert.equal(intake.next(0)?.offset, 0)
    assert.equal(offer('events', [1]), 2)
  })

  it('gives what was put back first while much of it waits', () => {
    const { intake, offer } = intakeOf([events], 1_000, 1)
    const taken = Array.from({ length: 3 }, (_, offset) => {
      offer('events', [offset])
      return intake.next(0) as FetchedRecord
    })
    intake.putBack(taken)
    offer('events', [3])
    const offsets = Array.from({ length: 4 }, () => intake.next(0)?.offset)
    assert.deepEqual(offsets, [0, 1, 2, 3])
  })

  it('a batch of another topic is not taken', () => {
    const { offer } = intakeOf([events])
    assert.equal(offer('elsewhere', [0]), undefined)
  })
})
