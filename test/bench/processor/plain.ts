/**
 * The yardsticks, as a process of their own: `plain.ts count|at-least-once GROUP`.
 *
 *   count          takes batches and counts their records
 *   at-least-once  decodes each event, writes one output record for it, and commits behind the batch
 *
 * Partitions of an at-least-once consumer are worked on side by side, as its users do.
 */
import { EVENT_SCHEMA, encodeWire, loadSchema } from '@sallyport/core/codec'
import type { Event } from '@sallyport/core/event'
import { createRegistry } from '@sallyport/core/kafka/registry'
import kafkajs from 'kafkajs'
import { OUTPUT } from './names.ts'

const [, , kind, groupId = ''] = process.argv
const PREFIX_BYTES = 5

const kafka = new kafkajs.Kafka({
  brokers: (process.env.KAFKA_BROKERS ?? '').split(','),
  logLevel: kafkajs.logLevel.NOTHING,
})
const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100 })
await consumer.connect()
await consumer.subscribe({ topic: 'sallyport.events', fromBeginning: true })

if (kind === 'count') {
  let count = 0
  await consumer.run({
    eachBatch: async ({ batch }) => {
      count += batch.messages.length
    },
  })
  process.once('SIGTERM', () => process.exit(count === 0 ? 1 : 0))
} else {
  const schema = loadSchema('agent-event.v1')
  const registry = createRegistry(process.env.SCHEMA_REGISTRY_URL ?? '')
  const schemaId = await registry.register(`${OUTPUT}-value`, schema)
  const producer = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
  await producer.connect()
  await consumer.run({
    partitionsConsumedConcurrently: 12,
    eachBatch: async ({ batch }) => {
      const messages = batch.messages.map(({ key, value }) => {
        const event = EVENT_SCHEMA.type.fromBuffer((value as Buffer).subarray(PREFIX_BYTES)) as Event
        const output = {
          eventId: event.id,
          agentId: 'bench',
          status: 'done',
          attempt: 1,
          processedAt: Date.now(),
        }
        return { key, value: encodeWire(schemaId, schema.type, output), headers: headersOf(event) }
      })
      await producer.send({ topic: OUTPUT, acks: -1, messages })
    },
  })
  process.once('SIGTERM', () => process.exit(0))
}

/** The CloudEvents attributes that the engine gives its outputs too. */
function headersOf(event: Event): Record<string, string> {
  return {
    ce_specversion: '1.0',
    ce_id: event.id,
    ce_source: groupId,
    ce_type: 'io.sallyport.AgentEvent',
    ce_time: new Date().toISOString(),
  }
}
