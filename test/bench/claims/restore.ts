/** How long a processor takes to become the owner of a partition with many claims. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { encodeWire } from '@sallyport/core/codec'
import type { Connection } from '@sallyport/core/connection'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { CLAIM_SCHEMA } from '@sallyport/processor/config'
import type kafkajs from 'kafkajs'
import { ProcessorProcess } from '../../support/processor-process.ts'
import { rawKafka } from '../../support/raw-kafka.ts'
import { idOf } from './store.ts'

const AGENT = fileURLToPath(new URL('../../support/agents/outage-agent.ts', import.meta.url))
const BATCH = 5_000

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
