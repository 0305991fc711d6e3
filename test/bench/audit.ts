/**
 * `npm run bench:audit [-- --records N]`: what an audit of a million records costs whoever reads it.
 *
 * measure with a few records → append the others → `topics apply` writes a checkpoint → measure again
 *
 * The audit begins with a pause; then come operations of 12 partitions each, all of them ended before the oldest dead
 * letter that is kept. The last line says
 * whether a processor's start and each command take at most 2 s and 50 MiB more than before.
 */
import { spawnSync } from 'node:child_process'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { AUDIT_SCHEMA, type AuditRecord } from '@sallyport/core/audit'
import { encodeWire } from '@sallyport/core/codec'
import { append } from '@sallyport/core/kafka/append'
import { PartitionReader } from '@sallyport/core/kafka/partition-reader'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { ProducerCluster } from '@sallyport/core/kafka/transactions/producer-cluster'
import { AUDIT_TOPIC } from '@sallyport/core/topics'
import { auditRecord, SELECTION } from '../support/audit-records.ts'
import { Cli } from '../support/cli.ts'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { appendDeadLetters } from '../support/dead-letters.ts'
import { Topics } from '../support/events.ts'
import { PARTITIONS, testProcessor } from '../support/processor.ts'
import { rawAdmin, rawKafka } from '../support/raw-kafka.ts'
import { scriptOptions } from '../support/script-options.ts'
import { settingsFileFor } from '../support/settings-file.ts'

const options = scriptOptions(import.meta.url, { records: { type: 'string', default: '1000000' } })
const RECORDS = Number(options.records)
const MORE_MS_MAX = 2_000
const MORE_MIB_MAX = 50
const RANGES = 12
/** STARTED, RUNNING, a PROGRESS for each range, FINISHED, REPORTED. */
const STEPS = RANGES + 4
const OPERATIONS_A_BATCH = 500
const FOLLOWER = fileURLToPath(new URL('../support/pause-follower.ts', import.meta.url))
const PEAK = fileURLToPath(new URL('../support/peak-rss.ts', import.meta.url))

interface Measured {
  readonly name: string
  readonly ms: number
  readonly mib: number
}

async function main(): Promise<number> {
  const cluster = await startCluster({ brokers: 1 })
  try {
    console.log(`${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}, one broker`)
    const processor = testProcessor(cluster, () => {})
    const { name } = processor.config
    await processor.start()
    await processor.stop()
    const cli = new Cli(cluster)
    await succeed(cli, ['pause', name, '--why', 'the database moves'])
    const few = await measure(cluster, cli, name)
    // As retention does: the operations that follow ended before the oldest dead letter that is kept.
    const partitions = Array.from({ length: PARTITIONS }, (_, partition) => ({ partition, offset: '-1' }))
    const topic = processor.config.topics.deadLetter
    await rawAdmin(rawKafka(cluster.brokers), async admin => {
      // It loads the metadata that kafkajs needs for the next request.
      await admin.fetchTopicOffsets(topic)
      await admin.deleteTopicRecords({ topic, partitions })
    })
    const startedAt = performance.now()
    await fill(cluster, name)
    console.log(`${RECORDS} records appended in ${seconds(startedAt)} s`)
    const appliedAt = performance.now()
    const applied = await succeed(cli, ['topics', 'apply', '--config', settingsFileFor(processor)])
    console.log(
      `topics apply: ${seconds(appliedAt)} s, peak ${Math.round(applied)} MiB: reads all of it, once`,
    )
    const many = await measure(cluster, cli, name)
    const missed = many.filter(({ name, ms, mib }, i) => {
      const less = few[i] as Measured
      console.log(
        `${name.padEnd(18)} ${ms} ms (${less.ms} with none), ${Math.round(mib)} MiB (${Math.round(less.mib)})`,
      )
      return ms - less.ms > MORE_MS_MAX || mib - less.mib > MORE_MIB_MAX
    })
    const names = missed.map(({ name }) => name).join(', ')
    console.log(missed.length === 0 ? 'independent of the audit’s age' : `missed: ${names}`)
    return missed.length === 0 ? 0 : 1
  } finally {
    await cluster.stop()
  }
}

/** A processor's start and each command, with some letters to work on. */
async function measure(cluster: Cluster, cli: Cli, name: string): Promise<Measured[]> {
  const topics = new Topics(cluster, PARTITIONS)
  await appendDeadLetters(topics, name, 'crm', 100)
  await topics.close()
  const measured = [start(cluster, name)]
  for (const args of [
    ['lag', name],
    ['pause', name],
    ['dlq', 'list', '-p', name],
    ['dlq', 'discard', '-p', name, '--all', '--yes'],
    ['dlq', 'redrive', '-p', name],
  ]) {
    const startedAt = performance.now()
    const mib = await succeed(cli, args, [0, 3, 4])
    measured.push({ name: args.slice(0, 2).join(' ').replace(name, ''), ms: elapsed(startedAt), mib })
  }
  return measured
}

function start({ brokers, registryUrl }: Cluster, name: string): Measured {
  const env = { ...process.env, BROKERS: brokers.join(), REGISTRY: registryUrl, PROCESSOR: name }
  const { stdout, stderr } = spawnSync(process.execPath, ['--no-warnings', FOLLOWER], {
    env,
    encoding: 'utf8',
  })
  const line = stdout.split('\n').find(text => text.startsWith('{"ms"'))
  if (line === undefined) throw new Error(`${stdout}${stderr}`)
  const { ms, mib, isPaused } = JSON.parse(line)
  if (isPaused !== true) throw new Error('the pause was not found')
  return { name: 'a processor’s start', ms, mib }
}

/** Returns the peak of its memory, MiB. */
async function succeed(cli: Cli, args: readonly string[], codes: readonly number[] = [0]): Promise<number> {
  const { code, stderr } = await cli.run(args, { load: PEAK })
  if (!codes.includes(code as number)) throw new Error(`${args.join(' ')} ended with ${code}: ${stderr}`)
  return Number(/#rss (\d+)/.exec(stderr)?.[1]) / 1_024
}

/** Operations that have all ended. */
async function fill(cluster: Cluster, processor: string): Promise<void> {
  const producers = new ProducerCluster(cluster, 'bench')
  const reader = new PartitionReader(cluster, 'bench')
  const schemaId = await createRegistry(cluster.registryUrl).register(`${AUDIT_TOPIC}-value`, AUDIT_SCHEMA)
  const { high } = (await reader.bounds(AUDIT_TOPIC)).get(0) ?? { high: 0 }
  const key = Buffer.from(processor)
  for (let next = high; next < RECORDS; ) {
    const records = Array.from({ length: OPERATIONS_A_BATCH }, (_, i) =>
      operation(next + i * STEPS, processor),
    )
      .flat()
      .map(record => ({ key, value: encodeWire(schemaId, AUDIT_SCHEMA.type, record), headers: {} }))
    next = (await append(producers, { topic: AUDIT_TOPIC, partition: 0, records })) + 1
  }
  await Promise.all([reader.close(), producers.close()])
}

function operation(id: number, processor: string): AuditRecord[] {
  const by = { user: 'operator', host: 'ops.example.com', pid: 4_321 }
  const step = (how: AuditRecord['step'], fields: Partial<AuditRecord> = {}) =>
    auditRecord({ operation: id, step: how, processor, by, count: 1_200, ...fields })
  const partitions = Array.from({ length: RANGES }, (_, partition) => partition)
  const selection = { ...SELECTION, sources: ['crm'] }
  const ranges = partitions.map(partition => ({ partition, from: 100, until: 200 }))
  const command = `dlq redrive --processor ${processor} --source crm`
  return [
    step('STARTED', { operation: null, why: 'the model is back', command, selection, ranges }),
    step('RUNNING'),
    ...partitions.map(partition => step('PROGRESS', { progress: { partition, through: 200, laneEnd: 100 } })),
    step('FINISHED'),
    step('REPORTED'),
  ]
}

function elapsed(startedAt: number): number {
  return Math.round(performance.now() - startedAt)
}

function seconds(startedAt: number): string {
  return (elapsed(startedAt) / 1_000).toFixed(1)
}

process.exit(await main())
