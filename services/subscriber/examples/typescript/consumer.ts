/**
 * A consumer of sallyport.events. Node 24 runs it as it is:
 *
 *   npm install
 *   KAFKA_BROKERS=localhost:9092 SCHEMA_REGISTRY_URL=http://localhost:8081 node consumer.ts
 */
import { appendFileSync } from 'node:fs'
import { subscribe } from '@sallyport/subscriber'

const { KAFKA_BROKERS = 'localhost:9092', SCHEMA_REGISTRY_URL = 'http://localhost:8081' } = process.env
const { GROUP = 'example', TOPIC = 'sallyport.events', POISON_FILE = 'poison.jsonl' } = process.env

/** What took effect lately; a real consumer keeps the key beside its effect, in one database transaction. */
const seen = new Set<string>()

const subscription = await subscribe({
  brokers: KAFKA_BROKERS.split(','),
  registry: { url: SCHEMA_REGISTRY_URL },
  groupId: GROUP,
  topics: [TOPIC],
  schema: 'event.v1',
  handler({ value, cloudEvent, idempotencyKey, headers }) {
    if (seen.has(idempotencyKey)) return
    seen.add(idempotencyKey)
    const body = value.body.toString()
    const { source, type } = cloudEvent
    console.log(JSON.stringify({ id: value.id, source, type, body, traceparent: headers.traceparent }))
  },
  onPoison({ key, value, reason, topic, partition, offset }) {
    const bytes = { key: key?.toString('base64'), value: value?.toString('base64') }
    appendFileSync(POISON_FILE, `${JSON.stringify({ topic, partition, offset, reason, ...bytes })}\n`)
  },
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => subscription.stop())
await subscription.ended
