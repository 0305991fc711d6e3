/**
 * Checkpoints of the claims and whatever may come between. Each test states its setup, its timeline, what it proves.
 * They go on where the one before ended, because each start of a process takes seconds.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Event } from '@sallyport/core/event'
import { eventOf, eventOn, Topics } from '../support/events.ts'
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
  /** Processed so far. */
  const events: Event[] = []
  const running: ProcessorProcess[] = []

  before(async () => {
    connection = await sharedCluster()
    topics = new Topics(connection, PARTITIONS)
    name = `test-${randomBytes(5).toString('hex')}`
    folder = mkdtempSync(path.join(tmpdir(), 'sallyport-checkpoint-'))
    // Host A has checkpoints of 40 events: an owner from a checkpoint's beginning would have none in them yet.
    await start('a').said('acquired', PARTITIONS)
    await process(someEvents(40))
    await stopAll()
    rmSync(path.join(folder, 'a'), { recursive: true, force: true })
    await start('a').said('checkpoint saved', PARTITIONS)
    await stopAll()
  })
  after(async () => {
    await topics.close()
    rmSync(folder, { recursive: true, force: true })
  })
  afterEach(stopAll)

  async function stopAll(): Promise<void> {
    for (const process of running.splice(0)) await process.kill('SIGTERM')
  }

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
  function someEvents(count: number): Event[] {
    return Array.from({ length: count }, (_, i) => eventOf(name, { i: i * 10 + 1 }))
  }

  /** Appends new events and waits until each has its output. */
  async function process(fresh: readonly Event[]): Promise<void> {
    events.push(...fresh)
    const want = new Set(fresh.map(({ id }) => id))
    await topics.append(fresh)
    await topics.read(`sallyport.${name}.out`, ({ key }) => want.has(String(key)), fresh.length)
  }

  async function outputIds(): Promise<(string | null)[]> {
    return (await topics.readAll(`sallyport.${name}.out`)).map(({ key }) => key).sort()
  }

  /** The lines of all partitions' acquisitions, by partition. */
  async function acquired(process: ProcessorProcess): Promise<Map<unknown, LogLine>> {
    const lines = await process.said('acquired', PARTITIONS)
    return new Map(lines.map(line => [line.partition, line]))
  }

  /** All events come again, a new one of each partition behind them; nothing may take effect twice. */
  async function assertOnce(): Promise<void> {
    await topics.append(events)
    await process(
      Array.from({ length: PARTITIONS }, (_, partition) => eventOn(partition, PARTITIONS, name, { i: 1 })),
    )
    assert.deepEqual(await outputIds(), events.map(({ id }) => id).sort())
  }

  it('after SIGKILL reads the tail only, and repeats nothing', async () => {
    // Setup: host A has checkpoints of 40 events. Timeline: another owner on the host processes 10 more and is killed
    // with SIGKILL; the processor starts again, and all events come once more. Proves: it reads only what the claims
    // topic got since, and yet knows every event.
    const tail = someEvents(10)
    const killed = start('a')
    await process(tail)
    await killed.kill('SIGKILL')
    const acquisitions = await acquired(start('a'))
    for (const [partition, line] of acquisitions) {
      assert.ok(Number(line.fromCheckpoint) > 0, `partition ${partition} did not use its checkpoint`)
    }
    const read = [...acquisitions.values()].reduce((sum, line) => sum + Number(line.records), 0)
    assert.ok(read <= RECORDS_PER_STAY * PARTITIONS * 2 + tail.length * 2, `${read} records were read`)
    await assertOnce()
  })

  it('sees what an owner on another host did in between', async () => {
    // Setup: host A has checkpoints. Timeline: host B takes over, from the topic, processes 40 more, all events come once
    // more, and it ends; A starts again, and all events come again. Proves: B knows what A did, and A reads B's claims
    // in the tail.
    const other = start('b')
    for (const line of (await acquired(other)).values()) assert.equal(line.fromCheckpoint, undefined)
    await process(someEvents(40))
    await assertOnce()
    await stopAll()
    for (const line of (await acquired(start('a'))).values()) assert.ok(Number(line.fromCheckpoint) > 0)
    await assertOnce()
  })

  it('goes back to the topic where the files are damaged', async () => {
    // Setup: host A has checkpoints. Timeline: the files are cut short, as after a full disk; the processor starts, and
    // all events come once more. Proves: a damaged checkpoint costs time, and nothing else.
    const files = readdirSync(path.join(folder, 'a')).filter(file => file.endsWith('.sqlite'))
    assert.equal(files.length, PARTITIONS)
    for (const file of files) truncateSync(path.join(folder, 'a', file), 9_000)
    const restarted = start('a')
    await assertOnce()
    await restarted.said('checkpoint saved', PARTITIONS)
  })

  it('does not trust the checkpoint of a topic that was created anew', async () => {
    // Setup: host A has checkpoints. Timeline: the claims topic is deleted; an operator creates it anew, and on
    // host C its offsets grow past the checkpoint's. Proves: the topic's id counts, not its name or its offsets.
    await rawAdmin(rawKafka(connection.brokers), admin =>
      admin.deleteTopics({ topics: [`sallyport.${name}.claims`] }),
    )
    await applyTopics()
    await start('c').said('acquired', PARTITIONS)
    await process(someEvents(400))
    await stopAll()
    for (const line of (await acquired(start('a'))).values()) assert.equal(line.fromCheckpoint, undefined)
  })
})
