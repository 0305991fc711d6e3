/** A task's queue of outcomes whose transactions are written down instead of sent. */
import type { PartitionWrites } from '@sallyport/core/kafka/produce-record'
import type { TaskProducer } from '@sallyport/core/kafka/task-producer'
import { createLog } from '@sallyport/core/log'
import { defineProcessor } from '@sallyport/processor'
import { ClaimStore } from '@sallyport/processor/claim-store'
import { ClaimsBudget } from '@sallyport/processor/claims-budget'
import { POSITIONS_KEY } from '@sallyport/processor/claims-record'
import { configure, POSITIONS_SCHEMA } from '@sallyport/processor/config'
import type { Outcome } from '@sallyport/processor/decide'
import type { EventRecord } from '@sallyport/processor/decode'
import { inputSpecs } from '@sallyport/processor/inputs'
import { ProcessMemory } from '@sallyport/processor/memory'
import { Input, Intake } from '@sallyport/processor/poll'
import { type Settlement, Settler } from '@sallyport/processor/settle'
import { SettleQueue } from '@sallyport/processor/settle-queue'
import { TransactionSize } from '@sallyport/processor/transaction-size'
import { eventOf } from './events.ts'

const NAME = 'settling'

/** What a transaction wrote: keys, and the position in the events behind it. */
export interface WrittenTransaction {
  readonly claimed: readonly string[]
  readonly others: readonly string[]
  readonly position: number
}

/** `transact` is awaited within each transaction; what it throws is the transaction's failure. */
export function testSettleQueue(
  transact: () => Promise<void> = async () => {},
  bytesMax = 1e9,
  size = new TransactionSize(10_000, 500),
) {
  const processor = configure(defineProcessor({ name: NAME, retry: ['1h'], handler() {} }), {})
  const written: WrittenTransaction[] = []
  const producer = {
    async transact(claims: PartitionWrites, others: readonly PartitionWrites[]) {
      const keys = (writes: PartitionWrites) => writes.records.map(({ key }) => String(key))
      const claimed = keys(claims).filter(key => !key.startsWith('#'))
      written.push({ claimed, others: others.flatMap(keys), position: positionIn(claims) })
      await transact()
    },
  } as unknown as TaskProducer
  const budget = new ClaimsBudget(1e9, () => {})
  const claims = new ClaimStore(budget)
  const intake = new Intake(
    inputSpecs(processor).map(spec => new Input(spec, { offset: 0 })),
    { queueRecordsMax: 10_000, queueBytesMax: 1e9 },
    new ProcessMemory(budget, 1e12).join(1),
    { pause() {}, resume() {} },
  )
  const failed = Promise.withResolvers<unknown>()
  const queue = new SettleQueue({
    processor: NAME,
    settler: new Settler(processor, 0, producer, { claim: 1, positions: 2, barrier: 3 }),
    intake,
    claims,
    bytesMax: () => bytesMax,
    size,
    log: createLog('test'),
    now: () => 0,
    sourceLabel: source => source,
    settled: () => {},
    failed: failed.resolve,
  })
  return { queue, intake, claims, written, failed: failed.promise }
}

/** The position in the events that the positions record says. */
function positionIn({ records }: PartitionWrites): number {
  const { value } = records.find(({ key }) => String(key) === POSITIONS_KEY) as { value: Buffer }
  return POSITIONS_SCHEMA.type.fromBuffer(value.subarray(5)).inputs['sallyport.events']
}

/** Events that were taken in, in the order of their offsets. */
export function takenEvents(intake: Intake, count: number): EventRecord[] {
  const taken = Array.from({ length: count }, (_, offset): EventRecord => {
    const event = eventOf(NAME, {}, String(offset))
    const key = Buffer.from(event.id)
    const record = {
      topic: 'sallyport.events',
      partition: 0,
      offset,
      timestamp: 0,
      key,
      value: key,
      headers: {},
    }
    return { record, event, round: { generation: 0, attempt: 1 }, history: [] }
  })
  const records = taken.map(({ record }) => record)
  intake.offer({ topic: 'sallyport.events', partition: 0, records, nextOffset: count, highWatermark: count })
  return taken
}

/** The outcome of an attempt at an event, as the task hands it to the queue. */
export function settlementOf(eventRecord: EventRecord, outcome: Outcome): Settlement {
  const { record } = eventRecord
  const common = { generation: 0, windowMs: 1, at: 0 } as const
  const claim =
    outcome.kind === 'retry'
      ? ({ ...common, state: 'PENDING', attempt: 2 } as const)
      : ({ ...common, state: 'DONE', attempt: 1 } as const)
  return { record, eventRecord, outcome, attempt: null, claim, span: null }
}
