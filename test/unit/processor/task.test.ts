import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { BrokerClock, steadyClock } from '@sallyport/core/clock'
import type { FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import type { PartitionWrites, ProduceRecord } from '@sallyport/core/kafka/produce-record'
import type { TaskProducer } from '@sallyport/core/kafka/task-producer'
import { createLog } from '@sallyport/core/log'
import { claimsHeld } from '@sallyport/core/metrics'
import { defineProcessor } from '@sallyport/processor'
import { Breaker } from '@sallyport/processor/breaker'
import type { CheckpointFolder } from '@sallyport/processor/checkpoint-folder'
import { ClaimsBudget } from '@sallyport/processor/claims-budget'
import { positionsRecord } from '@sallyport/processor/claims-record'
import { configure } from '@sallyport/processor/config'
import type { Decoded, EventDecoder } from '@sallyport/processor/decode'
import { Gate } from '@sallyport/processor/gate'
import { ProcessMemory } from '@sallyport/processor/memory'
import type { OutputEncoder } from '@sallyport/processor/outputs'
import { Slots } from '@sallyport/processor/slots'
import { Task, type TaskDependencies } from '@sallyport/processor/task'
import { TransactionSizes } from '@sallyport/processor/transaction-size'
import { waitFor } from '../../support/wait-for.ts'

const POISON: Decoded = {
  kind: 'poison',
  failure: { kind: 'fatal', code: 'SP_POISON', message: 'none', blamesDependency: false },
}

function recordsOf(topic: string, records: readonly ProduceRecord[]): FetchedRecord[] {
  return records.map(({ key, value }, offset) => ({
    topic,
    partition: 0,
    offset,
    timestamp: 0,
    key,
    value,
    headers: {},
  }))
}

/** A task with a claims topic in memory; `settle` is what a transaction waits for once it runs. */
function taskWith(
  before: readonly ProduceRecord[],
  settle: () => Promise<void>,
  checkpoints?: CheckpointFolder,
) {
  const log = createLog('test')
  log.level = 'silent'
  const processor = configure(defineProcessor({ name: 'unit-task', handler: () => {} }), {})
  const claimsTopic = processor.topics.claims
  const kept = [...before]
  let running = false
  const gate = new Gate(processor.name, log)
  const clock = () => Date.now()
  const budget = new ClaimsBudget(1e6, () => {})
  const producer = {
    async transact({ records }: PartitionWrites) {
      if (running) await settle()
      kept.push(...records)
      return kept.length
    },
    async close() {},
  } as unknown as TaskProducer
  const deps: TaskDependencies = {
    quarantine: undefined,
    isMember: async () => true,
    processor,
    claimsTopic,
    inputs: [{ topic: 'events', kind: 'events', delayMs: 0 }],
    limits: { queueRecordsMax: 10, queueBytesMax: 1e6 },
    decoder: { decode: () => POISON } as unknown as EventDecoder,
    encoder: {} as OutputEncoder,
    admission: {
      slots: new Slots(2, () => 1e6),
      gate,
      breaker: new Breaker(processor.name, processor.breaker, gate, log, clock),
      sizes: new TransactionSizes(10_000, 500),
    },
    log,
    clock,
    windowMs: () => 60_000,
    shortestWindowMs: 60_000,
    sourceLabel: source => source,
    refreshMs: 60_000,
    checkpointIntervalMs: 300_000,
    schemas: { claim: 1, positions: 2, barrier: 3 },
    registry: {
      register: async () => 1,
      check: async () => ({ kind: 'new' as const }),
      find: async () => undefined,
      glance: async () => undefined,
      recall: async () => {},
    },
    memory: new ProcessMemory(budget, 1e9),
    claimsBudget: budget,
    checkpoints,
    openProducer: async () => producer,
    epochEnd: async () => undefined,
    brokerClock: new BrokerClock(steadyClock),
    resolvePositions: async () => new Map([['events', { offset: 0 }]]),
    tierEnds: async () => new Map(),
    keptFrom: async (_partition, _topic, position) => position,
    claimsStart: async () => 0,
    claimsEnd: async () => undefined,
    readFrom(_, positions) {
      running = positions.has('events')
      if (running) return
      const records = recordsOf(claimsTopic, kept)
      const end = records.length
      task.offer({ topic: claimsTopic, partition: 0, records, nextOffset: end, highWatermark: end })
    },
    pause: () => {},
    close: () => {},
    resume: () => {},
  }
  const task = new Task(0, deps)
  return task
}

describe('task', () => {
  it('a transaction that ends after its task does not bring the partition back into the metrics', async () => {
    // Setup: a task that runs. Timeline: a transaction is under way; the partition is lost; it commits. Proves: the
    // partition’s claims are not reported here for ever.
    const settled = Promise.withResolvers<void>()
    let settling = false
    const task = taskWith([], () => {
      settling = true
      return settled.promise
    })
    const run = task.run()
    await waitFor(() => settling)
    task.drop()
    settled.resolve()
    await run
    const { values } = await claimsHeld.get()
    assert.deepEqual(
      values.filter(({ labels }) => labels.processor === 'unit-task'),
      [],
    )
  })

  it('a checkpoint has the positions of tiers that these settings do not know', async () => {
    // Setup: the claims topic says where an earlier owner stood in a tier that is no input here. Timeline: a checkpoint is
    // saved, whose offset lies behind that record. Proves: a restart from it does not lose the place.
    let saved: Readonly<Record<string, number>> | undefined
    const file = {
      async save(_: unknown, head: { positions: Readonly<Record<string, number>> }) {
        saved = head.positions
        return true
      },
      close() {},
    }
    const checkpoints = { open: async () => ({ file, head: undefined }) } as unknown as CheckpointFolder
    const task = taskWith(
      [
        positionsRecord(2, [
          { topic: 'events', offset: 0 },
          { topic: 'gone', offset: 7 },
        ]),
      ],
      async () => {},
      checkpoints,
    )
    const run = task.run()
    await waitFor(() => saved !== undefined)
    assert.deepEqual(saved, { gone: 7, events: 0 })
    task.drop()
    await run
  })

  it('a topic that is made anew under it ends it, before anything of the new one is passed over', async () => {
    // Setup: five records taken. Timeline: the topic is deleted and made again; the consumer finds its place gone and reads
    // from the start, where two records are. Proves: they are not taken for a repetition of the old ones.
    const task = taskWith([], async () => {})
    const ended = assert.rejects(task.run(), /SP_TOPIC_RECREATED: events\/0 ends at 2, before/)
    await waitFor(() => task.hasAcquired)
    const batch = (count: number) => {
      const records = recordsOf(
        'events',
        Array.from({ length: count }, () => ({ key: null, value: null })),
      )
      return { topic: 'events', partition: 0, records, nextOffset: count, highWatermark: count }
    }
    assert.equal(task.offer(batch(5)), 5)
    // What was under way twice is nothing new, and no reason to end.
    assert.equal(task.offer(batch(5)), 5)
    await sleep(50)
    assert.equal(task.offer(batch(2)), undefined)
    await ended
  })
})
