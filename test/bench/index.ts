/**
 * `npm run bench:index [-- --events N]`: how fast the index takes events, and how fast it answers.
 *
 * fill (events of 1 KiB with their claims, as fetches bring them) → ask, cold cache and warm → read the same from Kafka
 *
 * One process on one core does all of it; a figure is that of this machine, and the ratio of two figures of one run is
 * what to compare.
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openIndex } from '@sallyport/console/index/database'
import { Gathering } from '@sallyport/console/index/gathering'
import { fitPositions } from '@sallyport/console/index/positions'
import { type EventFilter, searchEvents } from '@sallyport/console/index/search'
import { eventStory } from '@sallyport/console/index/story'
import { IndexWriter } from '@sallyport/console/index/writer'
import { type AvroSchema, EVENT_SCHEMA, encodeEvent, encodeWire } from '@sallyport/core/codec'
import { eventHeaders } from '@sallyport/core/headers'
import type { FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import { CLAIM_SCHEMA } from '@sallyport/processor/config'
import { eventOf, TRACEPARENT } from '../support/events.ts'
import { scriptOptions } from '../support/script-options.ts'

const PARTITIONS = 12
const CLAIMS_TOPIC = 'sallyport.ticket-agent.claims'
/** Records of one fetch of one partition: about 1 MiB of them. */
const BATCH = 700
const SCHEMAS: readonly AvroSchema[] = [EVENT_SCHEMA, CLAIM_SCHEMA]
const WORDS = Array.from({ length: 20_000 }, () => randomBytes(4).toString('hex'))
const SOURCES = ['crm', 'github', 'stripe', 'shopify', 'warehouse']
const START_MS = Date.UTC(2026, 10, 20)

const cpu = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}
const options = scriptOptions(import.meta.url, { events: { type: 'string', default: '1000000' } })
const total = Number(options.events)
const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-bench-'))
const file = path.join(folder, 'index.db')

function word(i: number): string {
  // A few words are everywhere, most are rare.
  return WORDS[
    Math.floor(WORDS.length * (((i * 2_654_435_761) % 4_294_967_296) / 4_294_967_296) ** 3)
  ] as string
}

function bodyOf(n: number): object {
  const lines = Array.from({ length: 10 }, (_, line) =>
    Array.from({ length: 8 }, (_, i) => word(n * 97 + line * 11 + i)).join(' '),
  )
  return { agent_id: `agent_${n % 500}`, status: 'open', ticket_id: `T-${n}`, lines }
}

function recordOf(
  topic: string,
  partition: number,
  offset: number,
  key: string,
  value: Buffer,
  headers = {},
) {
  const timestamp = START_MS + offset
  return {
    topic,
    partition,
    offset,
    timestamp,
    key: Buffer.from(key),
    value,
    headers,
  } satisfies FetchedRecord
}

function batchesOf(partition: number, from: number): [FetchedRecord[], FetchedRecord[]] {
  const events: FetchedRecord[] = []
  const claims: FetchedRecord[] = []
  for (let offset = from; offset < from + BATCH; offset++) {
    const n = offset * PARTITIONS + partition
    const source = SOURCES[n % SOURCES.length] as string
    const event = { ...eventOf(source, bodyOf(n), `${n}`.padStart(64, '0')), type: `type-${n % 40}` }
    const headers = eventHeaders(event, TRACEPARENT)
    events.push(recordOf(EVENTS_TOPIC, partition, offset, event.id, encodeEvent(1, event), headers))
    const state = n % 997 === 0 ? 'DEAD' : 'DONE'
    const claim = encodeWire(2, CLAIM_SCHEMA.type, { state, generation: 0, attempt: 1, windowMs: 86_400_000 })
    claims.push(recordOf(CLAIMS_TOPIC, partition, offset, event.id, claim))
  }
  return [events, claims]
}

const registry = {
  find: async (id: number) => SCHEMAS[id - 1],
}

async function fill(): Promise<void> {
  const database = openIndex(file)
  const bounds = Array.from({ length: PARTITIONS }, (_, p) => [p, { low: 0, high: total }] as const)
  fitPositions(database, new Map([EVENTS_TOPIC, CLAIMS_TOPIC].map(topic => [topic, new Map(bounds)])))
  const gathering = new Gathering(new IndexWriter(database, registry))
  let spentMs = 0
  let written = 0
  for (let from = 0; written < total; from += BATCH) {
    for (let partition = 0; partition < PARTITIONS && written < total; partition++) {
      const [events, claims] = batchesOf(partition, from)
      const startedAt = cpu()
      for (const records of [events, claims]) {
        const { topic } = records[0] as FetchedRecord
        await gathering.add({ topic, partition, from, next: from + BATCH, records })
      }
      spentMs += cpu() - startedAt
      written += BATCH
    }
    if ((from / BATCH) % 20 === 0)
      process.stderr.write(`${written} ${Math.round((written / spentMs) * 1000)}/s\n`)
  }
  await sleep(500)
  database.close()
  const rate = Math.round(written / (spentMs / 1_000))
  console.log(
    `${written} events with their claims: ${rate} events/s, file ${Math.round(statSync(file).size / 2 ** 20)} MiB`,
  )
}

function ask(): void {
  const n = Math.floor(total / 2)
  const mid = START_MS + Math.floor(total / PARTITIONS / 2)
  const rare = WORDS.at(-1) as string
  const common = WORDS[0] as string
  const questions: Record<string, EventFilter> = {
    newest: {},
    source: { source: 'crm' },
    'source and type': { source: 'crm', type: 'type-0' },
    'outcome dead': { outcome: 'dead' },
    'outcome dead, source': { outcome: 'dead', source: 'crm' },
    'outcome waiting (none)': { outcome: 'waiting' },
    'a minute in the middle': { sinceMs: mid, untilMs: mid + 60_000 },
    'source that is not there': { source: 'nobody' },
    'type of another source (none)': { source: 'crm', type: 'type-1' },
    'text, one event': { text: `T-${n}` },
    'text, rare': { text: rare },
    'text, common': { text: common },
    'text, beginning of a word': { text: `${common.slice(0, 3)}*` },
    'text common, outcome dead': { text: common, outcome: 'dead' },
    'text common, source': { text: common, source: 'crm' },
    'text rare, source, middle': { text: rare, source: 'crm', sinceMs: mid, untilMs: mid + 600_000 },
  }
  for (const [name, filter] of Object.entries(questions)) {
    const database = openIndex(file)
    const times: number[] = []
    let found = 0
    for (let i = 0; i < 5; i++) {
      const startedAt = performance.now()
      found = searchEvents(database, filter, 50).events.length
      times.push(performance.now() - startedAt)
    }
    database.close()
    console.log(
      `${name.padEnd(32)} ${found.toString().padStart(3)} found, first ${times[0]?.toFixed(1)} ms, then ${Math.min(...times).toFixed(1)} ms`,
    )
  }
  const database = openIndex(file)
  const startedAt = performance.now()
  eventStory(database, `crm/${'0'.padStart(64, '0')}`)
  console.log(`one story ${(performance.now() - startedAt).toFixed(1)} ms`)
  database.close()
}

console.log(`${cpus()[0]?.model}, ${cpus().length} cores, Node ${process.version}`)
try {
  await fill()
  ask()
} finally {
  rmSync(folder, { recursive: true })
}
