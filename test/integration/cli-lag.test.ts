/** `sallyport lag` and what operators paused: the real binary, a real broker. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { checkOperations } from 'sallyport/check/operations-check'
import { Cli } from '../support/cli.ts'
import type { Cluster } from '../support/cluster.ts'
import { eventOf, Topics } from '../support/events.ts'
import { agentEvent, PARTITIONS, type TestProcessor, testProcessor } from '../support/processor.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

/** Clears the screen. */
const HOSTILE = '\u001b[2J'

interface Lag {
  readonly input: string
  readonly partition: number
  readonly records: number
  readonly seconds: number | null
}

interface Lags {
  readonly lags: readonly Lag[]
  readonly pauses: readonly { processor: string; since: string; by: object; why: string }[] | null
}

describe('lag and pauses', function () {
  // Each command is a process, and a busy machine takes its time.
  this.timeout(300_000)
  let cluster: Cluster
  let topics: Topics
  let cli: Cli
  let processor: TestProcessor
  let name: string

  before(async () => {
    cluster = await sharedCluster()
    topics = new Topics(cluster, PARTITIONS)
    cli = new Cli(cluster)
    processor = testProcessor(cluster, (event, { attempt, emit }) =>
      emit(processor.output, agentEvent(event.id, attempt)),
    )
    name = processor.config.name
    await processor.start()
  })
  after(async () => {
    await processor.stop()
    await topics.close()
  })

  async function lagsOf(): Promise<readonly Lag[]> {
    return (await cli.json<Lags>(['lag', name])).lags
  }

  function recordsIn(lags: readonly Lag[]): number {
    return lags.reduce((sum, { records }) => sum + records, 0)
  }

  it('counts what a processor has not settled, with the age of the oldest, by input and partition', async () => {
    while (recordsIn(await lagsOf()) > 0) await sleep(100)
    await processor.stop()
    await topics.append(Array.from({ length: 6 }, () => eventOf(processor.source, {})))
    const [lags, { code, stdout }] = await Promise.all([lagsOf(), cli.run(['lag', name])])
    assert.deepEqual([...new Set(lags.map(({ input }) => input))].sort(), [
      'events',
      'redrive',
      'retry 1',
      'retry 2',
    ])
    assert.equal(lags.length, 4 * PARTITIONS)
    const lagging = lags.filter(({ records }) => records > 0)
    assert.ok(lagging.every(({ input, seconds }) => input === 'events' && seconds !== null && seconds >= 0))
    assert.equal(recordsIn(lags), 6)
    assert.equal(code, 0)
    assert.match(stdout, new RegExp(`^${name}: 6 records behind, the oldest for \\d`))
    assert.match(stdout, /INPUT +PARTITION +RECORDS +SECONDS\n +events/)
  })

  it('ends with 3 where there is no such processor', async () => {
    const { code, stderr } = await cli.run(['lag', 'nobody'])
    assert.deepEqual([code, stderr], [3, 'there is no processor nobody\n'])
  })

  it('a paused processor begins nothing, also after a restart, until it is resumed', async () => {
    // A stranger's bytes in the audit stop nobody.
    await topics.appendRaw('sallyport.audit', [{ partition: 0, key: name, value: Buffer.from('garbage') }])
    const why = `the database moves ${HOSTILE}`
    assert.deepEqual(await cli.json(['pause', name, '--why', why]), {
      processor: name,
      paused: true,
      changed: true,
    })
    // A process that starts now knows it before it begins (U1).
    const running = await processor.start()
    const held = () => running.gates.get(name)?.holds.has('paused') === true
    assert.ok(held())
    // Everybody is told: who, since when, why.
    const away = { env: { SCHEMA_REGISTRY_URL: 'http://127.0.0.1:9' } }
    const [again, text, json, blind, findings] = await Promise.all([
      cli.run(['pause', name]),
      cli.run(['lag', name]),
      cli.json<Lags>(['lag', name]),
      cli.run(['lag', name, '--json'], away),
      checkOperations(cluster),
    ])
    assert.match(again.stdout, /was paused already/)
    const told =
      /paused since \d{4}-\S+Z by \S+@\S+ \(process \d+\) \(the database moves .*\): sallyport resume/
    assert.match(text.stdout, told)
    assert.ok(!text.stdout.includes(HOSTILE))
    assert.match(findings.find(({ about }) => about === `processor ${name}`)?.text ?? '', told)
    const [pause] = json.pauses ?? []
    assert.deepEqual([pause?.processor, pause?.why], [name, why])
    assert.ok(Date.parse(pause?.since ?? '') <= Date.now())
    // Without the registry the audit cannot be read, and lag is told nevertheless.
    assert.deepEqual([blind.code, JSON.parse(blind.stdout).pauses], [0, null])
    assert.match(blind.stderr, /^whether operators paused a processor is not known: SP_REGISTRY_UNREACHABLE/)

    await sleep(2_000)
    assert.deepEqual(await topics.readAll(processor.output), [])
    assert.equal((await cli.run(['resume', name])).code, 0)
    await topics.read(processor.output, ({ key }) => key?.startsWith(processor.source) === true, 6)
    // And one that runs is reached.
    assert.equal((await cli.run(['pause', name])).code, 0)
    while (!held()) await sleep(50)
    assert.equal((await cli.run(['resume', name])).code, 0)
    while (held()) await sleep(50)
    const [resumed, nobody] = await Promise.all([cli.json<Lags>(['lag', name]), cli.run(['pause', 'nobody'])])
    assert.deepEqual([resumed.pauses, nobody.code], [[], 3])
  })
})
