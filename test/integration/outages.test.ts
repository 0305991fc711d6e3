import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { EVENT_SCHEMA, encodeWire, parseSchema } from '@sallyport/core/codec'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { partitionOf } from '@sallyport/core/partition'
import type { Cluster } from '../support/cluster.ts'
import { eventOf, Topics } from '../support/events.ts'
import {
  agentEvent,
  PARTITIONS,
  type TestProcessor,
  testProcessor,
  testSettings,
} from '../support/processor.ts'
import { NO_SCHEMA, RegistryProxy } from '../support/registry-proxy.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

const CLI = fileURLToPath(new URL('../../services/cli/src/main.ts', import.meta.url))
const AGENT = fileURLToPath(new URL('../support/agents/outage-agent.ts', import.meta.url))

import { rawAdmin, rawKafka } from '../support/raw-kafka.ts'

describe('processor through outages', function () {
  this.timeout(300_000)
  let cluster: Cluster
  let topics: Topics
  let processor: TestProcessor | undefined

  before(async () => {
    cluster = await sharedCluster()
    topics = new Topics(cluster, PARTITIONS)
  })
  after(() => topics.close())
  afterEach(async () => {
    await processor?.stop()
    processor = undefined
  })

  function emitting(schemaDoubtMs = testSettings().processing.schemaDoubtMs): TestProcessor {
    const settings = testSettings()
    const made = testProcessor(
      cluster,
      (event, { attempt, emit }) => emit(made.output, agentEvent(event.id, attempt)),
      {},
      { ...settings, processing: { ...settings.processing, schemaDoubtMs } },
    )
    processor = made
    return made
  }

  it('an event whose schema is not known yet waits while the registry is away, and is no poison', async () => {
    // A registry that comes back on a busy machine may lack its latest schemas for longer than other tests doubt.
    const { source, output, start, config } = emitting(5_000)
    await start()
    const newer = JSON.parse(EVENT_SCHEMA.text)
    newer.fields.push({ name: `later_${randomBytes(3).toString('hex')}`, type: 'int', default: 0 })
    const schema = parseSchema(JSON.stringify(newer))
    const id = await createRegistry(cluster.registryUrl).register('sallyport.events-value', schema)
    await cluster.stopRegistry()
    const event = eventOf(source, {})
    try {
      const key = Buffer.from(event.id)
      const value = encodeWire(id, schema.type, { ...event, [newer.fields.at(-1).name]: 1 })
      await topics.appendRaw('sallyport.events', [{ partition: partitionOf(key, PARTITIONS), key, value }])
      await sleep(2_500)
    } finally {
      await cluster.startRegistry()
    }
    const [processed] = await topics.read(output, ({ key }) => key === event.id, 1, 90_000)
    assert.ok(processed)
    const dead = await topics.readAll(config.topics.deadLetter, ({ key }) => key === event.id)
    assert.equal(dead.length, 0)
  })

  for (const [what, answer] of [
    ['its own words, for everything', NO_SCHEMA],
    ['a page of a proxy', { status: 404, body: '<html>404 Not Found</html>' }],
  ] as const) {
    it(`a registry that answers 404 for seconds makes no genuine event poison: ${what} (G4, G7)`, async () => {
      // Setup: a processor that doubts for half a second. Timeline: the registry answers 404 to everything; an event
      // comes under a schema that the processor has not met, and one under its own; three seconds later the registry
      // answers as before. Proves: the processor's own version needs no registry; the other one waits, and is processed.
      // It used to be dead-lettered after two seconds.
      const proxy = await RegistryProxy.start(cluster.registryUrl)
      const made = testProcessor({ ...cluster, registryUrl: proxy.url }, (event, { attempt, emit }) =>
        emit(made.output, agentEvent(event.id, attempt)),
      )
      processor = made
      try {
        await made.start()
        const newer = JSON.parse(EVENT_SCHEMA.text)
        newer.fields.push({ name: `later_${randomBytes(3).toString('hex')}`, type: 'int', default: 0 })
        const schema = parseSchema(JSON.stringify(newer))
        const id = await createRegistry(cluster.registryUrl).register('sallyport.events-value', schema)
        const own = eventOf(made.source, 'own')
        const event = eventOf(made.source, 'newer')
        const key = Buffer.from(event.id)
        const value = encodeWire(id, schema.type, { ...event, [newer.fields.at(-1).name]: 1 })
        proxy.answer(answer)
        await topics.append([own])
        await topics.appendRaw('sallyport.events', [{ partition: partitionOf(key, PARTITIONS), key, value }])
        assert.equal((await topics.read(made.output, ({ key }) => key === own.id, 1)).length, 1)
        await sleep(3_000)
        assert.ok(proxy.denied >= 3, 'the processor asked')
        proxy.pass()
        assert.equal((await topics.read(made.output, ({ key }) => key === event.id, 1)).length, 1)
        const dead = await topics.readAll(made.config.topics.deadLetter, ({ key }) => key === event.id)
        assert.equal(dead.length, 0)
      } finally {
        proxy.stop()
      }
    })
  }

  it('a broker that dies and comes back costs time, not events: each takes effect once', async () => {
    const { source, output, start } = emitting()
    await start()
    const events = Array.from({ length: 300 }, (_, i) => eventOf(source, { i }))
    await topics.append(events.slice(0, 200))
    await topics.read(output, () => true, 20)
    await cluster.kill(0)
    await sleep(1_500)
    await cluster.restart(0)
    await topics.append(events.slice(200))
    await topics.read(output, () => true, 300, 60_000)
    await sleep(1_000)
    const outputs = await topics.readAll(output)
    assert.deepEqual(outputs.map(({ key }) => key).sort(), events.map(({ id }) => id).sort())
  })

  it('a processor that starts while the broker is away begins by itself when it is back', async () => {
    const { source, output, start } = emitting()
    await cluster.kill(0)
    const starting = start()
    await sleep(2_000)
    await cluster.restart(0)
    await starting
    const event = eventOf(source, {})
    await topics.append([event])
    assert.equal((await topics.read(output, ({ key }) => key === event.id, 1)).length, 1)
  })

  describe('as processes of its own', () => {
    const name = `test-${randomBytes(5).toString('hex')}`
    const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-outage-'))
    const config = path.join(folder, 'sallyport.yaml')
    const children = new Set<ChildProcess>()

    before(() => {
      writeFileSync(
        config,
        `topics: { partitions: ${PARTITIONS} }
processing: { sessionTimeout: 6s, transactionTimeout: 5s, schemaDoubt: 500ms }
sources: { ${name}: { scheme: { header: X-Signature, algorithm: hmac-sha256, encoding: hex }, secrets: ['\${env:NOT_NEEDED_HERE}'] } }
processors: [${AGENT}]
`,
      )
    })
    after(() => {
      for (const child of children) child.kill('SIGKILL')
      rmSync(folder, { recursive: true })
    })

    function startProcess(): ChildProcess {
      const child = spawn(process.execPath, ['--no-warnings', CLI, 'processor', name, '--config', config], {
        env: {
          ...process.env,
          TEST_PROCESSOR_NAME: name,
          KAFKA_BROKERS: cluster.brokers.join(','),
          SCHEMA_REGISTRY_URL: cluster.registryUrl,
          LOG_LEVEL: 'error',
        },
        stdio: ['ignore', 'inherit', 'inherit'],
      })
      children.add(child)
      child.once('exit', () => children.delete(child))
      return child
    }

    it('killed in the middle, again and again, they lose nothing and repeat no effect', async () => {
      const output = `sallyport.${name}.out`
      const events = Array.from({ length: 1_200 }, (_, i) => eventOf(name, { i }))
      const alive = [startProcess(), startProcess()]
      while (!(await rawAdmin(rawKafka(cluster.brokers), admin => admin.listTopics())).includes(output))
        await sleep(200)
      for (let round = 0; round < 4; round++) {
        await topics.append(events.slice(round * 300, round * 300 + 300))
        await topics.append(events.slice(round * 300, round * 300 + 60))
        await topics.read(output, () => true, round * 300 + 50, 60_000)
        alive.shift()?.kill('SIGKILL')
        alive.push(startProcess())
      }
      await topics.read(output, () => true, events.length, 90_000)
      await sleep(1_000)
      const outputs = await topics.readAll(output)
      assert.deepEqual(outputs.map(({ key }) => key).sort(), events.map(({ id }) => id).sort())
    })

    it('asked to stop, they finish and exit with 0', async () => {
      const [child] = children
      assert.ok(child)
      child.kill('SIGTERM')
      const [code] = await once(child, 'exit')
      assert.equal(code, 0)
    })
  })
})
