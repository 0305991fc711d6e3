/** Checkpoints of the claims and whatever may come between. Each test states its setup, its timeline, what it proves. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Event } from '@sallyport/core/event'
import { partitionOf } from '@sallyport/core/partition'
import { eventOf, Topics } from '../support/events.ts'
import { PARTITIONS } from '../support/processor.ts'
import { type LogLine, ProcessorProcess } from '../support/processor-process.ts'
import { rawAdmin, rawKafka } from '../support/raw-kafka.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

const CLI = fileURLToPath(new URL('../../services/cli/src/main.ts', import.meta.url))
const AGENT = fileURLToPath(new URL('../support/agents/outage-agent.ts', import.meta.url))
/** A barrier and the first positions. */
const RECORDS_PER_STAY = 2

describe('a restart from a checkpoint', function () {
  this.timeout(180_000)
  let connection: { brokers: readonly string[]; registryUrl: string }
  let topics: Topics
  let name: string
  let folder: string
  const running: ProcessorProcess[] = []

  before(async () => {
    connection = await sharedCluster()
    topics = new Topics(connection, PARTITIONS)
    await topics.connect()
  })
  after(() => topics.close())
  beforeEach(() => {
    name = `test-${randomBytes(5).toString('hex')}`
    folder = mkdtempSync(path.join(tmpdir(), 'sallyport-checkpoint-'))
  })
  afterEach(async () => {
    for (const process of running.splice(0)) await process.kill()
    rmSync(folder, { recursive: true, force: true })
  })

  /** A process on a host: processes of one host share their folder of checkpoints. */
  function start(host: string): ProcessorProcess {
    const config = path.join(folder, `${host}.yaml`)
    writeFileSync(
      config,
      `topics: { partitions: ${PARTITIONS} }
processing: { sessionTimeout: 6s, transactionTimeout: 5s, checkpointFolder: ${host} }
sources: { crm: { preset: github, secrets: ['\${env:X}'] } }
processors: [${JSON.stringify(AGENT)}]
`,
    )
    const process = new ProcessorProcess(connection, config, { TEST_PROCESSOR_NAME: name })
    running.push(process)
    return process
  }

  /** Creates what is missing, as an operator does. */
  async function applyTopics(): Promise<void> {
    const config = path.join(folder, 'a.yaml')
    await promisify(execFile)(
      globalThis.process.execPath,
      ['--no-warnings', CLI, 'topics', 'apply', '--config', config],
      {
        env: {
          ...globalThis.process.env,
          TEST_PROCESSOR_NAME: name,
          KAFKA_BROKERS: connection.brokers.join(','),
          SCHEMA_REGISTRY_URL: connection.registryUrl,
        },
      },
    )
  }

  /** Events that its handler processes at once. */
  function someEvents(count = 40): Event[] {
    return Array.from({ length: count }, (_, i) => eventOf(name, { i: i * 10 + 1 }))
  }

  /** Appends events and waits until as many outputs are there in all. */
  async function process(events: readonly Event[], outputs: number): Promise<void> {
    await topics.append(events)
    await topics.read(`sallyport.${name}.out`, () => true, outputs)
  }

  async function outputIds(): Promise<(string | null)[]> {
    return (await topics.readAll(`sallyport.${name}.out`)).map(({ key }) => key).sort()
  }

  /** The lines of all partitions' acquisitions, by partition. */
  async function acquired(process: ProcessorProcess): Promise<Map<unknown, LogLine>> {
    const lines = await process.said('acquired', PARTITIONS)
    return new Map(lines.map(line => [line.partition, line]))
  }

  /** Runs `host` on what is there until it has saved a checkpoint of every partition, and kills it. */
  async function checkpointed(host: string): Promise<void> {
    const process = start(host)
    await process.said('checkpoint saved', PARTITIONS)
    await process.kill('SIGTERM')
  }

  /** All of `old` come again, one new event behind them; nothing may take effect twice. */
  async function assertOnce(old: readonly Event[]): Promise<void> {
    const fresh = Array.from({ length: PARTITIONS }, (_, partition) => eventOn(partition))
    await topics.append([...old, ...fresh])
    const want = new Set(fresh.map(({ id }) => id))
    await topics.read(`sallyport.${name}.out`, ({ key }) => want.has(String(key)), fresh.length)
    assert.deepEqual(await outputIds(), [...old, ...fresh].map(({ id }) => id).sort())
  }

  function eventOn(partition: number): Event {
    while (true) {
      const event = eventOf(name, { i: 1 })
      if (partitionOf(Buffer.from(event.id), PARTITIONS) === partition) return event
    }
  }

  /** An owner on host A has processed events and ended; its host's next owner saved them, and ended too. */
  async function processedAndSaved(): Promise<Event[]> {
    const events = someEvents()
    const first = start('a')
    await first.said('acquired', PARTITIONS)
    await process(events, events.length)
    await first.kill('SIGTERM')
    rmSync(path.join(folder, 'a'), { recursive: true, force: true })
    await checkpointed('a')
    return events
  }

  it('after SIGKILL reads the tail only, and repeats nothing', async () => {
    // Setup: 40 events processed, their claims in checkpoints of the host. Timeline: another owner on the host processes
    // 10 more and is killed with SIGKILL; the processor starts again, and all events come once more. Proves: it reads
    // only what the claims topic got since, and yet knows every event.
    const saved = await processedAndSaved()
    const killed = start('a')
    const tail = someEvents(10)
    await process(tail, saved.length + tail.length)
    await killed.kill('SIGKILL')
    const events = [...saved, ...tail]
    const restarted = start('a')
    const acquisitions = await acquired(restarted)
    for (const [partition, line] of acquisitions) {
      assert.ok(Number(line.fromCheckpoint) > 0, `partition ${partition} did not use its checkpoint`)
    }
    const read = [...acquisitions.values()].reduce((sum, line) => sum + Number(line.records), 0)
    assert.ok(read <= RECORDS_PER_STAY * PARTITIONS * 3 + tail.length * 2, `${read} records were read`)
    await assertOnce(events)
  })

  it('sees what an owner on another host did in between', async () => {
    // Setup: host A has checkpoints of 40 events. Timeline: host B takes over, from the topic, processes 40 more and
    // ends; A starts again, and all 80 come once more. Proves: A reads B's claims in the tail.
    const before = await processedAndSaved()
    const other = start('b')
    for (const line of (await acquired(other)).values()) assert.equal(line.fromCheckpoint, undefined)
    const between = someEvents()
    await process(between, before.length + between.length)
    await other.kill('SIGTERM')
    const restarted = start('a')
    for (const line of (await acquired(restarted)).values()) assert.ok(Number(line.fromCheckpoint) > 0)
    await assertOnce([...before, ...between])
  })

  it('does not trust the checkpoint of a topic that was created anew', async () => {
    // Setup: host A has checkpoints. Timeline: the claims topic is deleted, an operator creates it anew, and its
    // offsets grow past the checkpoint's. Proves: the topic's id counts, not its name or its offsets.
    await processedAndSaved()
    await rawAdmin(rawKafka(connection.brokers), admin =>
      admin.deleteTopics({ topics: [`sallyport.${name}.claims`] }),
    )
    await applyTopics()
    const other = start('b')
    await other.said('acquired', PARTITIONS)
    const events = someEvents(200)
    await process(events, events.length + 40)
    await other.kill('SIGTERM')
    const restarted = start('a')
    for (const line of (await acquired(restarted)).values()) assert.equal(line.fromCheckpoint, undefined)
  })

  it('goes back to the topic where the files are damaged', async () => {
    // Setup: host A has checkpoints. Timeline: the files are cut short, as after a full disk; the processor starts, and
    // all events come once more. Proves: a damaged checkpoint costs time, and nothing else.
    const events = await processedAndSaved()
    const files = readdirSync(path.join(folder, 'a')).filter(file => file.endsWith('.sqlite'))
    assert.equal(files.length, PARTITIONS)
    for (const file of files) truncateSync(path.join(folder, 'a', file), 9_000)
    start('a')
    await assertOnce(events)
  })
})
