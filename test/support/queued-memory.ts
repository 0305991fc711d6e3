/**
 * A process of its own that reads records as a processor does, from the bytes of fetches, and has them wait: prints what
 * it holds, in MiB, once the garbage is collected. Its argument says what:
 *
 *   tier    200 fetches of a MiB each, of which one record waits in a tier; prints also what that counts for
 *   queues  120 tasks (10 processors, 12 partitions), every queue of them filled as far as it goes
 */
import '@sallyport/core/kafka/client'
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import { encodeBatch, encodeRecord } from '@sallyport/core/kafka/record-batch'
import { ClaimsBudget } from '@sallyport/processor/claims-budget'
import type { InputSpec } from '@sallyport/processor/inputs'
import { ProcessMemory } from '@sallyport/processor/memory'
import { Input, Intake, recordBytes } from '@sallyport/processor/poll'

const MIB = 2 ** 20
const TASKS = 120
const BUDGET_BYTES = 64 * MIB

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
const require = createRequire(import.meta.url)
const Decoder = require('kafkajs/src/protocol/decoder.js')
const decodeMessages = require('kafkajs/src/protocol/requests/fetch/v4/decodeMessages.js')

const HEADERS = Object.fromEntries(
  Array.from({ length: 9 }, (_, i) => [`sallyport-header-${i}`, `value ${i} of it`]),
)

/** What the broker answers for one partition, `count` records of `length` bytes. */
function answerOf(count: number, length: number): Buffer {
  const value = Buffer.alloc(length, 'x')
  const records = Array.from({ length: count }, (_, i) =>
    encodeRecord({ key: Buffer.from(`crm/${i}`), value, headers: HEADERS }),
  )
  const batch = encodeBatch(records, { producerId: -1n, epoch: -1, sequence: -1 }, Date.now())
  const size = Buffer.alloc(4)
  size.writeInt32BE(batch.length)
  return Buffer.concat([size, batch])
}

/** The records of an answer, as a member of a group hands them on. */
async function fetched(topic: string, partition: number, answer: Buffer): Promise<FetchedRecord[]> {
  const messages = await decodeMessages(new Decoder(Buffer.from(answer)))
  return messages.map(({ offset, timestamp, key, value, headers }: Record<string, never>) => ({
    topic,
    partition,
    offset: Number(offset),
    timestamp: Number(timestamp),
    key,
    value,
    headers,
  }))
}

async function heldMib(): Promise<number> {
  // What a Buffer held is given back after its collection, on another thread.
  for (let i = 0; i < 3; i++) {
    collect()
    await sleep(20)
  }
  const { heapUsed, external } = process.memoryUsage()
  return (heapUsed + external) / MIB
}

async function tier(): Promise<unknown> {
  const answer = answerOf(600, 1_500)
  await fetched('tier', 0, answer)
  const before = await heldMib()
  const waiting: FetchedRecord[] = []
  for (let i = 0; i < 200; i++) waiting.push((await fetched('tier', 0, answer))[0] as FetchedRecord)
  const held = (await heldMib()) - before
  return { held, counted: waiting.reduce((sum, record) => sum + recordBytes(record), 0) / MIB }
}

async function queues(): Promise<unknown> {
  const specs: InputSpec[] = [
    { topic: 'events', kind: 'events', delayMs: 0 },
    ...[1, 2, 3, 4, 5].map((n): InputSpec => ({ topic: `tier.${n}`, kind: 'retry', delayMs: 1e9 })),
    { topic: 'redrive', kind: 'redrive', delayMs: 0 },
  ]
  const answers = [answerOf(300, 100), answerOf(100, 2_000), answerOf(50, 12_000)]
  const before = await heldMib()
  const memory = new ProcessMemory(new ClaimsBudget(1, () => {}), BUDGET_BYTES)
  const limits = { queueRecordsMax: 1_000, queueBytesMax: 16 * MIB }
  const shares = Array.from({ length: TASKS }, () => memory.join(specs.length))
  const intakes = shares.map(
    share =>
      new Intake(
        specs.map(spec => new Input(spec, { offset: 0 })),
        limits,
        share,
        { pause() {}, resume() {} },
      ),
  )
  let empty = 0
  let counted = 0
  for (const [partition, intake] of intakes.entries()) {
    for (const [i, { topic }] of specs.entries()) {
      const records = await fetched(topic, partition, answers[(partition + i) % 3] as Buffer)
      const end = records.length
      intake.offer({ topic, partition, records, nextOffset: end, highWatermark: end })
      const { length, bytes } = intake.input(topic)
      if (length === 0) empty++
      counted += bytes / MIB
    }
  }
  const held = (await heldMib()) - before
  return { held, counted, budget: BUDGET_BYTES / MIB, empty, tasks: intakes.length }
}

console.log(JSON.stringify(await (process.argv[2] === 'tier' ? tier() : queues())))
