import assert from 'node:assert/strict'
import type { PartitionWrites, TaskProducer } from '@sallyport/core/kafka/task-producer'
import { createLog } from '@sallyport/core/log'
import { defineProcessor } from '@sallyport/processor'
import { ClaimStore } from '@sallyport/processor/claim-store'
import { ClaimsBudget } from '@sallyport/processor/claims-budget'
import { configure } from '@sallyport/processor/config'
import type { EventRecord } from '@sallyport/processor/decode'
import { inputSpecs } from '@sallyport/processor/inputs'
import { Input, Intake } from '@sallyport/processor/poll'
import { Settler } from '@sallyport/processor/settle'
import { SettleQueue } from '@sallyport/processor/settle-queue'
import { eventOf } from '../support/events.ts'

describe('claims that are written again', () => {
  it('a claim is never written ahead of its retry record (X1)', async () => {
    // Setup: the first attempts at 2,500 events have failed at once: more than one transaction takes. Timeline: while
    // they wait the refresh of PENDING claims comes, and is in the first transaction. Proves: it leaves out the claims
    // whose outcomes wait for the second. With them, an owner that died between the two would leave events that are
    // PENDING without a retry record: their own records would be duplicates to its successor, and they were lost.
    const name = 'refreshed'
    const processor = configure(defineProcessor({ name, retry: ['1h'], handler() {} }), {})
    const written: { claimed: string[]; retried: string[] }[] = []
    const producer = {
      async transact(claims: PartitionWrites, others: readonly PartitionWrites[]) {
        const keys = (writes: PartitionWrites) => writes.records.map(({ key }) => String(key))
        written.push({ claimed: keys(claims), retried: others.flatMap(keys) })
      },
    } as unknown as TaskProducer
    const claims = new ClaimStore(new ClaimsBudget(1e9, () => {}))
    const limits = { queueRecordsMax: 10_000, queueBytesMax: 1e9 }
    const intake = new Intake(
      inputSpecs(processor).map(spec => new Input(spec, 0)),
      limits,
      { pause() {}, resume() {} },
    )
    const settled = Promise.withResolvers<void>()
    const queue = new SettleQueue({
      processor: name,
      settler: new Settler(processor, 0, producer, { claim: 1, positions: 2 }),
      intake,
      claims,
      log: createLog('test'),
      now: () => 0,
      sourceLabel: source => source,
      settled: () => {
        if (written.length === 2) settled.resolve()
      },
      failed: settled.reject,
    })
    const records = Array.from({ length: 2_500 }, (_, offset) => {
      const event = eventOf(name, {}, String(offset))
      const key = Buffer.from(event.id)
      return {
        event,
        record: {
          topic: 'sallyport.events',
          partition: 0,
          offset,
          timestamp: 0,
          key,
          value: key,
          headers: {},
        },
      }
    })
    intake.offer({
      topic: 'sallyport.events',
      partition: 0,
      records: records.map(({ record }) => record),
      nextOffset: records.length,
      highWatermark: records.length,
    })
    const failure = {
      kind: 'retryable',
      code: 'SP_HANDLER_FAILED',
      message: 'not yet',
      blamesDependency: true,
    } as const
    for (const { event, record } of records) {
      const claim = { state: 'PENDING', generation: 0, attempt: 2, windowMs: 1, at: 0 } as const
      const eventRecord: EventRecord = { record, event, round: { generation: 0, attempt: 1 }, history: [] }
      claims.decide(event.id, claim)
      queue.add({
        record,
        eventRecord,
        outcome: { kind: 'retry', tier: 0, failure },
        attempt: null,
        claim,
        span: null,
      })
    }
    queue.refresh()
    await settled.promise
    const retried = new Set<string>()
    for (const transaction of written) {
      for (const id of transaction.retried) retried.add(id)
      for (const id of transaction.claimed.filter(key => !key.startsWith('#'))) {
        assert.ok(retried.has(id), `the claim of ${id} was written, its retry record was not`)
      }
    }
    assert.equal(retried.size, records.length)
  })
})
