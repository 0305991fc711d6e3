import assert from 'node:assert/strict'
import { mock } from 'node:test'
import { BrokerClock, steadyClock } from '@sallyport/core/clock'
import type { Event } from '@sallyport/core/event'
import type { FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import type { PartitionWrites } from '@sallyport/core/kafka/produce-record'
import type { TaskProducer } from '@sallyport/core/kafka/task-producer'
import { createLog } from '@sallyport/core/log'
import { defineProcessor, type Handler } from '@sallyport/processor'
import { Breaker } from '@sallyport/processor/breaker'
import { ClaimsBudget } from '@sallyport/processor/claims-budget'
import { configure } from '@sallyport/processor/config'
import { Gate } from '@sallyport/processor/gate'
import { inputSpecs } from '@sallyport/processor/inputs'
import { ProcessMemory } from '@sallyport/processor/memory'
import { OutputEncoder } from '@sallyport/processor/outputs'
import { Slots } from '@sallyport/processor/slots'
import { Task, type TaskDependencies } from '@sallyport/processor/task'
import { TransactionSizes } from '@sallyport/processor/transaction-size'
import { eventOf } from '../../support/events.ts'

const START_MS = Math.ceil(performance.timeOrigin)
const WINDOW_MS = 86_400_000

describe('a task’s timer', () => {
  let elapsedMs = 0
  let task: Task

  beforeEach(() => {
    elapsedMs = 0
    mock.method(performance, 'now', () => START_MS + elapsedMs - performance.timeOrigin)
    mock.timers.enable({ apis: ['setTimeout', 'setInterval'] })
  })
  afterEach(() => {
    task.drop()
    mock.timers.reset()
    mock.restoreAll()
  })

  /** Time passes, and what follows from it happens. */
  async function pass(ms: number): Promise<void> {
    elapsedMs += ms
    mock.timers.tick(ms)
    await turns()
  }

  it('takes the records of its tiers when each is due: no earlier, and not by a poll', async () => {
    // Setup: a task with three tiers. Timeline: records come into all of them, some due at the same moment, some a
    // millisecond apart; time passes to just before and to just when each is due. Proves: it wakes for each. Without
    // that they would wait for the timer that sweeps the claims, which comes every five seconds.
    const taken: string[] = []
    const retry = ['100ms', '400ms', '800ms']
    task = runningTask(retry, event => {
      taken.push(event.id)
    })
    await turns()
    assert.ok(task.hasAcquired)
    const appended = [
      { tier: 1, offset: 0, atMs: 0, due: 100 },
      { tier: 1, offset: 1, atMs: 1, due: 101 },
      { tier: 1, offset: 2, atMs: 300, due: 400 },
      { tier: 2, offset: 0, atMs: 0, due: 400 },
      { tier: 2, offset: 1, atMs: 4_000, due: 4_400 },
      { tier: 3, offset: 0, atMs: 0, due: 800 },
    ]
    for (const { tier, offset, atMs, due } of appended) {
      const topic = `sallyport.tiers.retry.${tier}`
      const event = eventOf('tiers', {}, `${due}-${tier}`)
      const record = recordOf(topic, offset, START_MS + atMs, event.id)
      assert.ok(
        task.offer({ topic, partition: 0, records: [record], nextOffset: offset + 1, highWatermark: 9 }),
      )
    }
    await turns()
    for (const due of [100, 101, 400, 800, 4_400]) {
      await pass(due - elapsedMs - 1)
      assert.deepEqual(taken, [], `before ${due} ms`)
      await pass(1)
      const expected = appended.filter(record => record.due === due)
      const ids = expected.map(({ tier }) => `tiers/${due}-${tier}`)
      assert.deepEqual(taken.splice(0).sort(), ids, `at ${due} ms`)
    }
  })
})

/** A task of partition 0 whose Kafka is nowhere: its transactions succeed, and its barrier comes back at once. */
function runningTask(retry: string[], handler: Handler): Task {
  const log = createLog('test')
  log.level = 'silent'
  const processor = configure(defineProcessor({ name: 'tiers', retry, handler }), {})
  const { claims } = processor.topics
  const gate = new Gate(processor.name, log)
  const budget = new ClaimsBudget(1e9, () => {})
  const inputs = inputSpecs(processor)
  let barrier: PartitionWrites['records'] | undefined
  const producer = {
    async transact({ records }: PartitionWrites) {
      barrier ??= records
    },
    close: async () => {},
  } as unknown as TaskProducer
  const deps = {
    processor,
    claimsTopic: claims,
    inputs,
    limits: { queueRecordsMax: 100, queueBytesMax: 1e9 },
    schemas: { claim: 1, positions: 2, barrier: 3 },
    registry: {
      register: async () => 1,
      check: async () => ({ kind: 'new' as const }),
      find: async () => undefined,
    },
    encoder: new OutputEncoder(new Map(), 1, {
      recordBytesMax: 1_000,
      emitBytesMax: 1_000,
      transactionPartitionsMax: 1,
    }),
    decoder: { decode: (record: FetchedRecord) => ({ kind: 'event', eventRecord: eventRecordOf(record) }) },
    admission: {
      slots: new Slots(10, () => 1e9),
      gate,
      breaker: new Breaker(processor.name, processor.breaker, gate, log, () => 0),
      sizes: new TransactionSizes(10_000, 500),
    },
    memory: new ProcessMemory(budget, 1e9),
    claimsBudget: budget,
    checkpoints: undefined,
    log,
    clock: () => 0,
    windowMs: () => WINDOW_MS,
    shortestWindowMs: 60_000,
    sourceLabel: (source: string) => source,
    refreshMs: WINDOW_MS / 4,
    openProducer: async () => producer,
    epochEnd: async () => undefined,
    brokerClock: new BrokerClock(steadyClock),
    claimsStart: async () => 0,
    resolvePositions: async () => new Map(inputs.map(({ topic }) => [topic, { offset: 0 }])),
    readFrom(partition: number, positions: ReadonlyMap<string, number>) {
      if (!positions.has(claims)) return
      const records = (barrier ?? []).map(({ key, value }) => ({ ...recordOf(claims, 0, 0, ''), key, value }))
      task.offer({ topic: claims, partition, records, nextOffset: 1, highWatermark: 1 })
    },
    pause: () => {},
    close: () => {},
    resume: () => {},
  } as unknown as TaskDependencies
  const task = new Task(0, deps)
  task.run().catch(() => {})
  return task
}

function recordOf(topic: string, offset: number, timestamp: number, key: string): FetchedRecord {
  return { topic, partition: 0, offset, timestamp, key: Buffer.from(key), value: null, headers: {} }
}

function eventRecordOf(record: FetchedRecord) {
  const event: Event = { ...eventOf('tiers', {}), id: String(record.key) }
  return { record, event, round: { generation: 0, attempt: 2 }, history: [] }
}

/** Whatever is ready to happen happens. */
async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve))
}
