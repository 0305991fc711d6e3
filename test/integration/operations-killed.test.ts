/**
 * Redrive and replay under SIGKILL at every step, the real binary against a real broker. Each run is killed at the next
 * step and the same command is given again, until one run ends: by then the operation has died everywhere. The outputs
 * are counted in the output topic, outside the product's code.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { Fatal } from '@sallyport/processor'
import { PROJECT_FOLDER } from 'sallyport/start/home'
import { cliOf, jsonLines } from '../support/cli.ts'
import { committedRecords } from '../support/committed.ts'
import { eventOf, Topics } from '../support/events.ts'
import { agentEvent, PARTITIONS, type TestProcessor, testProcessor } from '../support/processor.ts'
import { settingsFileFor } from '../support/settings-file.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

const FAULTS = fileURLToPath(new URL('../support/operation-faults.ts', import.meta.url))
/** Every step of an operation, in an order in which each run comes to the next one. */
const DEATHS = [
  'open:before:1',
  'open:after:1',
  'connect:after:1',
  'take-up:after:1',
  'begin:after:2',
  'lane:after:1',
  'progress:after:1',
  'commit:before:1',
  'commit:after:1',
  'close:before:1',
  'commit-note:before:2',
]
/** A replay is picked by other code and run by the same: these are where what it picked could be lost or sent twice. */
const REPLAY_DEATHS = ['open:after:1', 'lane:after:1', 'commit:before:1', 'commit:after:1', 'close:before:1']
const EVENTS = 50

describe('operations that are killed', function () {
  // Each run starts a process, and a busy machine takes its time.
  this.timeout(480_000)
  let topics: Topics
  let cli: ReturnType<typeof cliOf>
  let processor: TestProcessor
  let isBroken = false

  before(async () => {
    const connection = await sharedCluster()
    topics = new Topics(connection, PARTITIONS)
    await topics.connect()
    cli = cliOf(connection)
  })
  after(() => topics.close())
  beforeEach(async () => {
    const connection = await sharedCluster()
    processor = testProcessor(connection, (event, { attempt, emit }) => {
      if (isBroken) throw new Fatal('the agent is broken')
      emit(processor.output, agentEvent(event.id, attempt))
    })
    await processor.start()
  })
  afterEach(() => processor.stop())

  async function appended(): Promise<string[]> {
    const events = Array.from({ length: EVENTS }, (_, n) => eventOf(processor.source, { n }))
    await topics.append(events)
    return events.map(({ id }) => id).sort()
  }

  /** Gives the command again after each death; returns the operation that the last run finished. */
  async function throughDeaths(
    args: readonly string[],
    deaths: readonly string[],
  ): Promise<{ handled: number }> {
    for (const death of deaths) {
      const { signal, stdout, stderr } = await cli.run([...args, '--rate', '10'], {
        load: FAULTS,
        env: { OPERATION_FAULT: death },
      })
      assert.equal(signal, 'SIGKILL', `${death} was not reached: ${stdout}${stderr}`)
    }
    const { code, stdout, stderr } = await cli.run(args)
    assert.equal(code, 0, stderr)
    return JSON.parse(stdout).operation
  }

  /** Of this test's source only: whatever else lies in the events topic may be a dead letter here, too. */
  function mine(command: string): string[] {
    return ['dlq', command, '--processor', processor.config.name, '--source', processor.source]
  }

  async function sent() {
    return committedRecords(await sharedCluster(), processor.config.topics.redrive)
  }

  async function outputIds(): Promise<(string | null)[]> {
    return (await topics.readAll(processor.output)).map(({ key }) => key).sort()
  }

  it('a redrive that dies at every step sends each dead letter once (O3, W3, W4)', async () => {
    isBroken = true
    const ids = await appended()
    await topics.read(
      processor.config.topics.deadLetter,
      ({ key }) => key?.startsWith(processor.source) === true,
      EVENTS,
    )
    isBroken = false
    const args = [...mine('redrive'), '--yes', '--json']
    assert.equal((await throughDeaths(args, DEATHS)).handled, EVENTS)
    await topics.read(processor.output, () => true, EVENTS)
    assert.equal((await sent()).length, EVENTS)
    assert.deepEqual(await outputIds(), ids)
    const left = await cli.run([...mine('list'), '--state', 'dead'])
    assert.equal(left.code, 3, left.stdout)
  })

  it('a replay that dies at every step sends each event once', async () => {
    isBroken = false
    const ids = await appended()
    await topics.read(processor.output, () => true, EVENTS)
    const { name } = processor.config
    const config = settingsFileFor(processor)
    const args = ['replay', '--processor', name, '--config', config, '--from', '1h', '--yes', '--json']
    const { handled } = await throughDeaths(args, REPLAY_DEATHS)
    assert.equal(handled, EVENTS)
    await topics.read(processor.output, () => true, 2 * EVENTS)
    assert.equal((await sent()).length, EVENTS)
    assert.deepEqual(await outputIds(), [...ids, ...ids].sort())
  })

  it('a script breaks an agent, lists, mends, redrives, is killed half-way, runs again: one output per event', async () => {
    isBroken = true
    const ids = await appended()
    await topics.read(
      processor.config.topics.deadLetter,
      ({ key }) => key?.startsWith(processor.source) === true,
      EVENTS,
    )
    const listed = await cli.run([...mine('list'), '--json'])
    assert.deepEqual(
      jsonLines(listed.stdout)
        .map(({ id }) => id)
        .sort(),
      ids,
    )
    isBroken = false
    const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-script-'))
    const script = path.join(folder, 'mend.sh')
    const redrive = `"${process.execPath}" --no-warnings "${PROJECT_FOLDER}/services/cli/bin/sallyport.js" ${mine('redrive').join(' ')} --yes --json`
    writeFileSync(
      script,
      `set -u
${redrive} --rate 2 > /dev/null 2>&1 &
runner=$!
until [ "$(${redrive} 2>&1 >/dev/null | grep -c SP_OPERATION_OPEN)" = 1 ]; do kill -0 $runner 2>/dev/null || break; done
kill -KILL $runner
wait $runner 2>/dev/null
${redrive} || [ $? = 3 ]
`,
    )
    const { brokers, registryUrl } = await sharedCluster()
    const env = { ...process.env, KAFKA_BROKERS: brokers.join(','), SCHEMA_REGISTRY_URL: registryUrl }
    const child = spawn('sh', [script], { env, stdio: ['ignore', 'ignore', 'inherit'] })
    const [code] = await once(child, 'close')
    assert.equal(code, 0)
    await topics.read(processor.output, () => true, EVENTS)
    assert.deepEqual(await outputIds(), ids)
  })

  it('a broker that goes away ends each command with advice, and a redrive goes on when it is back', async () => {
    const cluster = await sharedCluster()
    isBroken = true
    const ids = await appended()
    await topics.read(
      processor.config.topics.deadLetter,
      ({ key }) => key?.startsWith(processor.source) === true,
      EVENTS,
    )
    isBroken = false
    const { name } = processor.config
    const redrive = [...mine('redrive'), '--yes']
    const running = cli.start([...redrive, '--rate', '1'])
    await topics.read(processor.config.topics.redrive, () => true, 3)
    await cluster.kill(0)
    try {
      const { code, stderr } = await running.ended
      assert.equal(code, 1)
      assert.match(
        stderr,
        /operation \d+ stays open, \d+ of 50 done[\s\S]*SP_(TRANSACTION|BROKER_UNREACHABLE): /,
      )
      const commands = [
        ['dlq', 'list'],
        ['dlq', 'show', ids[0] as string],
        redrive,
        ['dlq', 'discard', '--processor', name, '--yes'],
        ['replay', '--processor', name, '--from', '1h', '--yes'],
        ['pause', name],
        ['resume', name],
      ]
      for (const { code, stdout, stderr } of await Promise.all(commands.map(args => cli.run(args)))) {
        assert.deepEqual([code, stdout], [1, ''])
        assert.match(stderr, /^SP_BROKER_UNREACHABLE: .*check KAFKA_BROKERS/)
      }
    } finally {
      await cluster.restart(0)
    }
    const again = await cli.run([...redrive, '--json'])
    assert.equal(again.code, 0, again.stderr)
    await topics.read(processor.output, () => true, EVENTS, 60_000)
    assert.deepEqual(await outputIds(), ids)
    assert.equal((await sent()).length, EVENTS)
  })
})
