/**
 * `npm run bench:claims [-- --short]`: what it costs to remember event ids.
 *
 *   store     for a partition that grows to N ids: CPU of a look-up and a new claim, bytes an id, the longest call
 *   restore   one partition of N claims: from the topic, and from this host's checkpoint; from the owner's barrier to
 *             the first record that it could process
 *
 * The store is measured in this process, restores in `sallyport processor` as shipped, against one local broker.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { encodeWire } from '@sallyport/core/codec'
import type { Connection } from '@sallyport/core/connection'
import { createRegistry } from '@sallyport/core/kafka/registry'
import type { Claim } from '@sallyport/processor/claim'
import { ClaimStore } from '@sallyport/processor/claim-store'
import { ClaimsBudget } from '@sallyport/processor/claims-budget'
import { CLAIM_SCHEMA } from '@sallyport/processor/config'
import type kafkajs from 'kafkajs'
import { startCluster } from '../support/cluster.ts'
import { ProcessorProcess } from '../support/processor-process.ts'
import { rawKafka } from '../support/raw-kafka.ts'

const AGENT = fileURLToPath(new URL('../support/agents/outage-agent.ts', import.meta.url))
const BATCH = 5_000

export interface StoreCost {
  readonly claims: number
  /** CPU of one look-up and one new claim, on the way up from the row before. */
  readonly cpuMicros: number
  readonly bytesPerId: number
  readonly longestMs: number
}

/** One store on its way up to these sizes. */
export function storeCosts(sizes: readonly number[]): StoreCost[] {
  const claim: Claim = { state: 'DONE', generation: 0, attempt: 1, windowMs: 86_400_000, at: Date.now() }
  fill(emptyStore(), 0, 50_000, claim)
  const store = emptyStore()
  let from = 0
  return sizes.map(claims => {
    const before = process.cpuUsage()
    const longestMs = fill(store, from, claims, claim)
    const { user, system } = process.cpuUsage(before)
    const cpuMicros = (user + system) / (claims - from)
    from = claims
    return { claims, cpuMicros, bytesPerId: store.bytes / store.size, longestMs }
  })
}

function emptyStore(): ClaimStore {
  return new ClaimStore(new ClaimsBudget(Number.MAX_SAFE_INTEGER, () => {}))
}

function fill(store: ClaimStore, from: number, to: number, claim: Claim): number {
  let longestMs = 0
  for (let i = from; i < to; i++) {
    const eventId = idOf(i)
    const startedAt = performance.now()
    if (store.get(eventId, claim.at) !== undefined) throw new Error(`${eventId} was there already`)
    store.set(eventId, claim, claim.at)
    longestMs = Math.max(longestMs, performance.now() - startedAt)
  }
  return longestMs
}

function idOf(i: number): string {
  return `github/${i.toString(16).padStart(8, '0')}-72d3-4f5e-8f11-5a0c1b2d3e4f`
}

export interface RestoreCost {
  readonly claims: number
  readonly topicMs: number
  readonly topicPerSecond: number
  readonly checkpointMs: number
  readonly checkpointRecords: number
}

/** Partitions of these sizes, one after the other; the cluster must be this bench's own. */
export async function restoreCosts(connection: Connection, sizes: readonly number[]): Promise<RestoreCost[]> {
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-bench-'))
  const rows: RestoreCost[] = []
  try {
    for (const claims of sizes) rows.push(await restoreCost(connection, folder, claims))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return rows
}

async function restoreCost(connection: Connection, folder: string, claims: number): Promise<RestoreCost> {
  const config = path.join(folder, 'sallyport.yaml')
  writeFileSync(
    config,
    `topics: { partitions: 1 }
processing: { checkpointFolder: checkpoints-${claims}, claimsBytesMax: 4000000000 }
sources: { crm: { preset: github, secrets: ['\${env:X}'] } }
processors: [${JSON.stringify(AGENT)}]
`,
  )
  const name = `bench-claims-${claims}`
  const env = { TEST_PROCESSOR_NAME: name }
  const first = new ProcessorProcess(connection, config, env)
  await first.said('acquired', 1)
  await first.kill('SIGTERM')
  rmSync(path.join(folder, `checkpoints-${claims}`), { recursive: true, force: true })
  await writeClaims(connection, `sallyport.${name}.claims`, claims)

  const fromTopic = new ProcessorProcess(connection, config, env)
  const [topic] = await fromTopic.said('acquired', 1)
  await fromTopic.said('checkpoint saved', 1)
  await fromTopic.kill('SIGTERM')
  const fromCheckpoint = new ProcessorProcess(connection, config, env)
  const [checkpoint] = await fromCheckpoint.said('acquired', 1)
  await fromCheckpoint.kill('SIGTERM')
  if (checkpoint?.fromCheckpoint === undefined) throw new Error('the checkpoint was not used')
  const topicMs = Number(topic?.ms)
  return {
    claims,
    topicMs,
    topicPerSecond: Number(topic?.records) / (topicMs / 1_000),
    checkpointMs: Number(checkpoint.ms),
    checkpointRecords: Number(checkpoint.records),
  }
}

async function writeClaims(connection: Connection, topic: string, count: number): Promise<void> {
  const schemaId = await createRegistry(connection.registryUrl).register(CLAIM_SCHEMA.name, CLAIM_SCHEMA)
  const claim = { state: 'DONE', generation: 0, attempt: 1, windowMs: 86_400_000 }
  const value = encodeWire(schemaId, CLAIM_SCHEMA.type, claim)
  const producer = rawKafka(connection.brokers).producer({
    createPartitioner: () => () => 0,
  })
  await producer.connect()
  for (let i = 0; i < count; i += BATCH) {
    const messages: kafkajs.Message[] = Array.from({ length: Math.min(BATCH, count - i) }, (_, j) => ({
      key: idOf(i + j),
      value,
    }))
    await producer.send({ topic, messages, acks: 1 })
  }
  await producer.disconnect()
}

async function main(): Promise<void> {
  const short = process.argv.includes('--short')
  const sizes = short ? [10_000, 100_000, 1_000_000] : [10_000, 100_000, 1_000_000, 5_000_000]
  console.log('ids in a partition   CPU µs/event   bytes/id   longest call, ms')
  for (const { claims, cpuMicros, bytesPerId, longestMs } of storeCosts(sizes)) {
    const figures = [cpuMicros.toFixed(2).padStart(15), bytesPerId.toFixed(1).padStart(11)]
    console.log(`${String(claims).padStart(18)}${figures.join('')}${longestMs.toFixed(1).padStart(19)}`)
  }
  const cluster = await startCluster({ brokers: 1 })
  try {
    console.log('claims   from the topic, ms   claims/s   from the checkpoint, ms (records)')
    for (const row of await restoreCosts(cluster, sizes.slice(1))) {
      const { claims, topicMs, topicPerSecond, checkpointMs, checkpointRecords } = row
      console.log(
        `${claims}   ${Math.round(topicMs)}   ${Math.round(topicPerSecond)}   ${Math.round(checkpointMs)} (${checkpointRecords})`,
      )
    }
  } finally {
    await cluster.stop()
  }
  console.log(`\n${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}`)
}

if (import.meta.main) {
  await main()
  process.exit()
}
