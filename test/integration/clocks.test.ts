import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { eventOf, eventOn, Topics } from '../support/events.ts'
import { PARTITIONS } from '../support/processor.ts'
import { ProcessorProcess } from '../support/processor-process.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

const AGENT = fileURLToPath(new URL('../support/agents/outage-agent.ts', import.meta.url))
const SHIFTED_CLOCK = new URL('../support/shifted-clock.ts', import.meta.url).href
const HOUR_MS = 3_600_000
const WINDOW_MS = 5_000
const DELAY_MS = 1_000

describe('a host whose clock is off by an hour', function () {
  this.timeout(120_000)
  let connection: { brokers: readonly string[]; registryUrl: string }
  let topics: Topics
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-clock-'))
  const running: ProcessorProcess[] = []

  before(async () => {
    connection = await sharedCluster()
    topics = new Topics(connection, PARTITIONS)
  })
  after(async () => {
    await Promise.all(running.map(process => process.kill()))
    await topics.close()
    rmSync(folder, { recursive: true })
  })

  function start(name: string, offsetMs: number, windowMs = WINDOW_MS, checkpoints = name): ProcessorProcess {
    const config = path.join(folder, `${name}.yaml`)
    writeFileSync(
      config,
      `window: ${windowMs}ms
topics: { partitions: ${PARTITIONS} }
processing: { sessionTimeout: 6s, transactionTimeout: 5s, schemaDoubt: 500ms, checkpointFolder: checkpoints-${checkpoints} }
sources: { crm: { preset: github, secrets: ['\${env:X}'] } }
processors: [{ module: ${JSON.stringify(AGENT)}, retry: [${DELAY_MS}ms, ${DELAY_MS}ms] }]
`,
    )
    const process = new ProcessorProcess(connection, config, {
      TEST_PROCESSOR_NAME: name,
      TEST_CLOCK_OFFSET_MS: String(offsetMs),
      NODE_OPTIONS: `--import=${SHIFTED_CLOCK}`,
    })
    running.push(process)
    return process
  }

  async function processesAsEver(offsetMs: number): Promise<void> {
    const name = `test-${randomBytes(5).toString('hex')}`
    const output = `sallyport.${name}.out`
    await start(name, offsetMs).said('joined the group', 1)
    // Of the agent's events every tenth fails twice.
    const [quick, failing] = [eventOf(name, { i: 1 }), eventOf(name, { i: 0 })]
    await topics.append([quick, quick, failing])
    const isOf = (event: { id: string }) => (record: { key: string | null }) => record.key === event.id
    const [last] = await topics.read(output, isOf(failing), 1)
    assert.ok(last, 'the retries were due')
    const hops = [
      ...(await topics.read(`sallyport.${name}.retry.1`, isOf(failing), 1)),
      ...(await topics.read(`sallyport.${name}.retry.2`, isOf(failing), 1)),
      last,
    ].map(({ timestamp }) => timestamp)
    for (const [i, at] of hops.slice(1).entries()) {
      assert.ok(at - (hops[i] as number) >= DELAY_MS, `due after ${at - (hops[i] as number)} ms`)
    }
    const { processedAt } = await topics.decode(last.value as Buffer)
    assert.ok(Math.abs(Number(processedAt) - last.timestamp - offsetMs) < HOUR_MS / 2, 'its clock is off')
    await topics.read(output, isOf(quick), 1)
    await sleep(WINDOW_MS + 1_000)
    await topics.append([quick])
    await topics.read(output, isOf(quick), 2)
    const keys = (await topics.readAll(output)).map(({ key }) => key)
    assert.deepEqual(keys.sort(), [quick.id, quick.id, failing.id].sort())
  }

  it('runs retries when they are due and holds claims for the window, for both follow the brokers’ clock', async () => {
    // Timeline, at one host an hour ahead and at one an hour behind: an event comes twice, and another one fails twice;
    // a window later the first one comes again. Proves: the repetition within the window is a duplicate and the one
    // beyond it is not, and no retry runs early or an hour late. By the host's own clock, claims would have expired
    // when they were restored or made, or held for an hour more.
    const ends = await Promise.allSettled([HOUR_MS, -HOUR_MS].map(processesAsEver))
    assert.deepEqual(
      ends.map(end => (end.status === 'rejected' ? end.reason : undefined)),
      [undefined, undefined],
    )
  })

  it('saves claims that hold by the brokers’ clock, and forgets none after a restart (N3, D1)', async () => {
    // Setup: the host is an hour ahead, the window half an hour. An owner has processed an event. Timeline: the next
    // owner reads its claim from the topic and saves a checkpoint; a third one begins with that, and the event comes
    // again, with a new one behind it. Proves: what a checkpoint saves does not depend on the host's clock. By that one
    // the claim would have expired, and the event's record lies below the checkpoint's offset.
    const name = `test-${randomBytes(5).toString('hex')}`
    const output = `sallyport.${name}.out`
    const [event, behind] = [eventOn(0, PARTITIONS, name, { i: 1 }), eventOn(0, PARTITIONS, name, { i: 1 })]
    const owner = (checkpoints: string) => start(name, HOUR_MS, HOUR_MS / 2, checkpoints)
    const first = owner(`${name}-before`)
    await first.said('joined the group', 1)
    await topics.append([event])
    await topics.read(output, () => true, 1)
    await first.kill('SIGTERM')
    const second = owner(name)
    await second.said('checkpoint saved', PARTITIONS)
    await second.kill('SIGTERM')
    const third = owner(name)
    for (const line of await third.said('acquired', PARTITIONS)) assert.ok(Number(line.fromCheckpoint) > 0)
    await topics.append([event, behind])
    await topics.read(output, ({ key }) => key === behind.id, 1)
    assert.deepEqual(
      (await topics.readAll(output)).map(({ key }) => key),
      [event.id, behind.id],
    )
  })
})
