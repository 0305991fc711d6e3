/**
 * `sallyport topics grow`, the real binary against a broker of its own: from 3 partitions to 4, where most keys get
 * another home and some of them one among the old partitions, and on to 8. One story, told in the order of the tests.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Event } from '@sallyport/core/event'
import { createKafka } from '@sallyport/core/kafka/client'
import { partitionOf } from '@sallyport/core/partition'
import type { Settings } from '@sallyport/core/settings'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import { Fatal } from '@sallyport/processor'
import { type RunningProcessors, runProcessors } from '@sallyport/processor/main'
import { measureLag } from 'sallyport/lag/measure'
import { BINARY, Cli, type Ended } from '../support/cli.ts'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { committedRecords } from '../support/committed.ts'
import { eventOf, Topics } from '../support/events.ts'
import { CRM, keptLog, send, signed, type TestIngress, testIngress, ticket } from '../support/ingress.ts'
import { agentEvent, type TestProcessor, testProcessor, testSettings } from '../support/processor.ts'
import { rawAdmin, rawKafka, rawTransactionalProducer } from '../support/raw-kafka.ts'
import { settingsFileFor } from '../support/settings-file.ts'
import { CTRL_C, Terminal } from '../support/terminal.ts'
import { waitFor } from '../support/wait-for.ts'

const OPERATION_FAULTS = fileURLToPath(new URL('../support/operation-faults.ts', import.meta.url))
const GROW_FAULTS = fileURLToPath(new URL('../support/grow-faults.ts', import.meta.url))
const EVENTS = 60
/** Every tenth is fatal as long as the agent is broken. */
const DEAD = 6

describe('topics that grow', function () {
  this.timeout(180_000)
  let cluster: Cluster
  let cli: Cli
  let processor: TestProcessor
  let ingress: TestIngress
  let isBroken = true
  const ingressLog = keptLog()
  /** Places events among so many partitions, as an ingress with that setting does. */
  const places = new Map<number, Topics>()
  const earlier: Event[] = []
  let misplaced: Event

  before(async () => {
    cluster = await startCluster({ brokers: 1 })
    cli = new Cli(cluster)
    processor = testProcessor(
      cluster,
      (event, { attempt, emit }) => {
        const { n } = JSON.parse(String(event.body)) as { n: number }
        if (isBroken && n % 10 === 0) throw new Fatal('the agent is broken')
        emit(processor.output, agentEvent(event.id, attempt))
      },
      {},
      settingsOf(3),
    )
    for (const count of [3, 4, 8]) {
      const topics = new Topics(cluster, count)
      places.set(count, topics)
    }
  })
  after(async () => {
    await processor?.stop()
    await ingress?.stop()
    for (const topics of places.values()) await topics.close()
    await cluster?.stop()
  })

  function settingsOf(partitions: number): Settings {
    return { ...testSettings(), partitions }
  }

  function among(partitions: number): Topics {
    return places.get(partitions) as Topics
  }

  function mine(...args: string[]): string[] {
    return [...args, '--processor', processor.config.name]
  }

  async function grow(partitions: number, args: readonly string[] = [], fault?: string): Promise<Ended> {
    const config = settingsFileFor(processor, partitions)
    const options = fault === undefined ? {} : { load: GROW_FAULTS, env: { GROW_FAULT: fault } }
    return await cli.run(['topics', 'grow', '--config', config, ...args], options)
  }

  async function counts(): Promise<number[]> {
    const names = [EVENTS_TOPIC, processor.output, ...Object.values(processor.config.topics).flat()]
    const { topics } = await rawAdmin(rawKafka(cluster.brokers), admin =>
      admin.fetchTopicMetadata({ topics: names }),
    )
    return topics.map(({ partitions }) => partitions.length)
  }

  async function outputsOf(events: readonly Event[]): Promise<Map<string, number>> {
    const records = await committedRecords(cluster, processor.output)
    return new Map(events.map(({ id }) => [id, records.filter(({ key }) => String(key) === id).length]))
  }

  /** Reads until everything that was appended is settled. */
  async function settled(): Promise<void> {
    const kafka = createKafka(cluster, 'test', keptLog().log)
    const lag = async (): Promise<number> => {
      const { lags } = await measureLag(kafka, [processor.config.name], AbortSignal.timeout(60_000))
      return lags.reduce((sum, { records }) => sum + records, 0)
    }
    while ((await lag()) > 0) await sleep(100)
  }

  async function withProcessor(partitions: number, work: () => Promise<void>): Promise<void> {
    const running = await processor.startWith(settingsOf(partitions))
    await work()
    await settled()
    await running.drain(2_000)
  }

  async function refuses(partitions: number): Promise<void> {
    const running: RunningProcessors = runProcessors(
      [processor.config],
      settingsOf(partitions),
      cluster,
      keptLog().log,
    )
    await assert.rejects(running.failed, { code: 'SP_PARTITION_COUNT' })
    await running.drain(0)
  }

  it('a process in the group, records that are not settled, and an open operation each forbid it and say what to do (U3)', async () => {
    for (let n = 0; n < EVENTS; n++) earlier.push(eventOf(processor.source, { n }))
    await withProcessor(3, async () => {
      await among(3).append(earlier)
      await among(3).read(processor.output, () => true, EVENTS - DEAD)
      const { code, stdout } = await grow(4, ['--yes'])
      assert.equal(code, 4, stdout)
      assert.match(stdout, /1 process is in its group: stop them/)
    })
    const late = eventOf(processor.source, { n: 1 })
    earlier.push(late)
    await among(3).append([late])
    const behind = await grow(4, ['--yes'])
    assert.equal(behind.code, 4)
    assert.match(
      behind.stdout,
      new RegExp(
        `sallyport.events has records .* partitions ${partitionOf(Buffer.from(late.id), 3)}: stop the ingresses`,
      ),
    )
    await withProcessor(3, async () => {})
    const redrive = [...mine('dlq', 'redrive'), '--yes']
    const killed = await cli.run(redrive, {
      load: OPERATION_FAULTS,
      env: { FAULT: 'connect:after:1' },
    })
    assert.equal(killed.code, 'SIGKILL', killed.stdout + killed.stderr)
    const occupied = await grow(4, ['--yes', '--json'])
    assert.equal(occupied.code, 4)
    const { findings, hasGrown } = JSON.parse(occupied.stdout)
    assert.deepEqual(
      [findings.map(({ code }: { code: string }) => code), hasGrown],
      [['SP_OPERATION_OPEN'], false],
    )
    const id = /operation (\d+)/.exec(findings[0].text)?.[1] as string
    assert.equal((await cli.run(['dlq', 'redrive', '--cancel', id, '--yes'])).code, 0)
    const planned = await grow(4)
    assert.deepEqual([planned.code, planned.stderr], [0, 'nothing was done: add --yes to run it\n'])
    const command = ['topics', 'grow', '--config', settingsFileFor(processor, 4)]
    const asked = new Terminal([process.execPath, BINARY, ...command], cli.env)
    await asked.shows(/Give the topics 4 partitions\? \[y\/N\] /)
    asked.type(CTRL_C)
    assert.equal((await asked.end()).code, 130)
    assert.deepEqual(new Set(await counts()), new Set([3]))
  })

  it('a run that is killed leaves services that refuse to start, and the same command ends what it began (U4, U5, U6)', async () => {
    const discard = await cli.run([...mine('dlq', 'discard'), '--all', '--limit', '1', '--yes'])
    assert.equal(discard.code, 0, discard.stderr)
    const zombie = await rawTransactionalProducer(
      rawKafka(cluster.brokers),
      `sallyport.${processor.config.name}-0`,
    )
    await (await zombie.transaction()).abort()
    for (const fault of ['write:6', `grow:${EVENTS_TOPIC}`]) {
      const { code, stdout, stderr } = await grow(4, ['--yes'], fault)
      assert.equal(code, 'SIGKILL', `${fault} was not reached: ${stdout}${stderr}`)
      await refuses(3)
      await refuses(4)
    }
    // Nobody stopped this ingress, and it takes an event that has another home in a moment.
    ingress = await testIngress(cluster, `topics: { partitions: 3 }\n${CRM}`, { log: ingressLog.log })
    await ingress.ready
    do misplaced = eventOf(processor.source, { n: 1 })
    while (partitionOf(Buffer.from(misplaced.id), 3) === partitionOf(Buffer.from(misplaced.id), 4))
    await among(3).append([misplaced])
    const { code, stdout, stderr } = await grow(4, ['--yes'])
    assert.equal(code, 0, stderr)
    assert.match(stdout, /warning .*SP_MISPLACED[\s\S]*All topics have 4 partitions/)
    assert.deepEqual(new Set(await counts()), new Set([4]))
    const messages = [{ partition: 0, key: 'zombie/1', value: null }]
    const stale = (await zombie.transaction()).send({ topic: processor.config.topics.claims, messages })
    await assert.rejects(stale, { type: 'INVALID_PRODUCER_EPOCH' })
    await zombie.disconnect()
    const again = await grow(4, ['--yes'])
    assert.deepEqual([again.code, again.stdout.split(',')[0]], [0, 'All topics have 4 partitions'])
  })

  it('an ingress that was not stopped answers 503 and says why', async () => {
    await waitFor(() => ingressLog.lines.some(line => line.includes('SP_PARTITION_COUNT')))
    const body = ticket()
    const answer = await send(`${ingress.url}/webhooks/${ingress.source}`, { headers: signed(body), body })
    assert.deepEqual([answer.status, answer.json.code], [503, 'not-ready'])
    const { status, json } = await send(`${ingress.url}/health/ready`, { method: 'GET' })
    assert.deepEqual([status, json.status], [503, 'outgrown'])
  })

  it('what is sent again takes no second effect, and new ids are processed on all partitions (U9)', async () => {
    const fresh = Array.from({ length: 40 }, () => eventOf(processor.source, { n: 1 }))
    // Before any process has started: new partitions are read from their start all the same.
    await among(4).append([...earlier, ...fresh])
    const latest = runProcessors(
      [{ ...processor.config, start: 'latest' }],
      settingsOf(4),
      cluster,
      keptLog().log,
    )
    await latest.ready
    await settled()
    await latest.drain(2_000)
    const outputs = await outputsOf([...earlier, ...fresh])
    const dead = earlier.filter((_, n) => n % 10 === 0 && n < EVENTS)
    for (const [id, times] of outputs) assert.equal(times, dead.some(event => event.id === id) ? 0 : 1, id)
    const letters = await committedRecords(cluster, processor.config.topics.deadLetter)
    assert.equal(letters.length, DEAD + 1)
    const homes = new Set(fresh.map(({ id }) => partitionOf(Buffer.from(id), 4)))
    assert.equal(homes.size, 4)
  })

  it('dead letters of before, and what came while the topics grew, are redriven where they are at home now', async () => {
    isBroken = false
    const dead = await cli.run([...mine('dlq', 'list'), '--state', 'dead', '--json'])
    const listed = dead.stdout.split('\n').filter(line => line !== '')
    assert.equal(listed.length, DEAD, 'one was discarded, one is misplaced')
    await withProcessor(4, async () => {
      const redriven = await cli.run([...mine('dlq', 'redrive'), '--yes', '--json'])
      assert.equal(redriven.code, 0, redriven.stderr)
      assert.equal(JSON.parse(redriven.stdout).operation.handled, DEAD)
    })
    const outputs = await outputsOf([...earlier, misplaced])
    assert.deepEqual(new Set(outputs.values()), new Set([0, 1]))
    assert.equal([...outputs.values()].filter(times => times === 0).length, 1)
    assert.equal(outputs.get(misplaced.id), 1)
    const processed = await cli.run([...mine('dlq', 'list'), '--state', 'processed', '--json'])
    assert.equal(processed.stdout.split('\n').filter(line => line !== '').length, DEAD)
    assert.equal((await cli.run([...mine('dlq', 'list'), '--state', 'dead,waiting'])).code, 3)
    const moved = earlier.find((_, n) => n % 10 === 0 && outputs.get((earlier[n] as Event).id) === 1) as Event
    assert.match((await cli.run(['dlq', 'show', moved.id])).stdout, /processed/)
  })

  it('a replay sends events of before to where they are at home now, and a second growth keeps the later claims (U7)', async () => {
    const config = settingsFileFor(processor, 4)
    let operation = 0
    await withProcessor(4, async () => {
      const args = [...mine('replay'), '--config', config, '--from', '1h', '--yes', '--json']
      const { code, stdout, stderr } = await cli.run(args)
      assert.equal(code, 0, stderr)
      operation = JSON.parse(stdout).operation.id
    })
    assert.equal((await committedRecords(cluster, processor.config.topics.deadLetter)).length, DEAD + 1)
    const { code, stderr } = await grow(8, ['--yes'])
    assert.equal(code, 0, stderr)
    const claims = new Map<string, Record<string, unknown>>()
    for (const { key, value, partition } of await committedRecords(cluster, processor.config.topics.claims)) {
      if (key === null || value === null || partitionOf(key, 8) !== partition || key[0] === 0x23) continue
      claims.set(String(key), await among(8).decode(value))
    }
    for (const { id } of earlier) {
      assert.deepEqual([claims.get(id)?.state, claims.get(id)?.generation], ['DONE', operation], id)
    }
  })
})
