import assert from 'node:assert/strict'
import { TaskProducer } from '@sallyport/core/kafka/task-producer'
import { createLog } from '@sallyport/core/log'
import { defineProcessor } from '@sallyport/processor'
import { Breaker } from '@sallyport/processor/breaker'
import { ClaimsBudget } from '@sallyport/processor/claims-budget'
import { configure } from '@sallyport/processor/config'
import { Gate } from '@sallyport/processor/gate'
import { inputSpecs } from '@sallyport/processor/inputs'
import { Membership } from '@sallyport/processor/membership'
import { ProcessMemory } from '@sallyport/processor/memory'
import { PartitionHolds } from '@sallyport/processor/partition-holds'
import type { ProcessorKafka } from '@sallyport/processor/runtime'
import { Slots } from '@sallyport/processor/slots'
import { Task } from '@sallyport/processor/task'
import { TransactionSizes } from '@sallyport/processor/transaction-size'
import { testSettings } from '../../support/processor.ts'
import { waitFor } from '../../support/wait-for.ts'

describe('a stay in the group', () => {
  const open = TaskProducer.open
  afterEach(() => {
    TaskProducer.open = open
  })

  it('makes a task wait until the one before it on its partition has unwound: they share a transactional id (M2)', async () => {
    // Setup: a task acquires its partition; its first transaction is under way. Timeline: the partition moves away, and
    // comes back. Proves: the second producer is connected only when the first one is closed.
    const steps: string[] = []
    const release = Promise.withResolvers<undefined>()
    const closed = Promise.withResolvers<void>()
    const again = Promise.withResolvers<void>()
    TaskProducer.open = async () => {
      if (steps.push('connect') > 1) again.resolve()
      return {
        transact: () => release.promise,
        async close() {
          await closed.promise
          steps.push('closed')
        },
      } as unknown as TaskProducer
    }
    const membership = newMembership()
    membership.joined([0])
    membership.joined([])
    membership.joined([0])
    release.resolve(undefined)
    for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve))
    closed.resolve()
    await again.promise
    assert.deepEqual(steps, ['connect', 'closed', 'connect'])
    await membership.drain(0)
  })

  it('takes no partition that it is given while it drains', async () => {
    // Setup: a member with a task. Timeline: it is told to drain, and its task waits for a handler; another member goes,
    // and a new assignment brings it that one's partition. Proves: no task begins there. It used to begin, and to start
    // handlers that nobody waited for; their attempts were run again by the next owner.
    const { drain } = Task.prototype
    const drained = Promise.withResolvers<void>()
    let opened = 0
    TaskProducer.open = async () => {
      opened++
      return await new Promise<TaskProducer>(() => {})
    }
    const membership = newMembership()
    membership.joined([0])
    await waitFor(() => opened === 1)
    try {
      Task.prototype.drain = () => drained.promise
      const ended = membership.drain(60_000)
      membership.joined([0, 1])
      for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve))
      assert.equal(opened, 1)
      drained.resolve()
      void ended
    } finally {
      Task.prototype.drain = drain
    }
  })
})

/** A membership whose Kafka is nowhere. */
function newMembership(): Membership {
  const log = createLog('test')
  log.level = 'silent'
  const processor = configure(defineProcessor({ name: 'stay', handler() {} }), {})
  const settings = testSettings()
  const gate = new Gate(processor.name, log)
  const nowhere = {
    connect: () => Promise.reject(new Error('nowhere')),
    disconnect: async () => {},
    on: () => () => {},
    events: {},
    pause: () => {},
    seek: () => {},
    stop: async () => {},
  }
  const kafka = {
    client: { consumer: () => nowhere, admin: () => nowhere, logger: () => log },
    registry: {},
    schemas: { claim: 1, positions: 2, barrier: 3 },
    outputs: new Map(),
  } as unknown as ProcessorKafka
  const breaker = new Breaker(processor.name, processor.breaker, gate, log, () => 0)
  const admission = { slots: new Slots(1, () => 1), gate, breaker, sizes: new TransactionSizes(10_000, 500) }
  const memory = new ProcessMemory(new ClaimsBudget(1e9, () => {}), 1e9)
  const holds = new PartitionHolds(settings.processing, () => 0)
  return new Membership(processor, settings, kafka, inputSpecs(processor), admission, memory, holds, log)
}
