/** What a handler, an operator or a foreign producer can do wrong: each has a defined outcome and a clear error. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseHistory } from '@sallyport/core/attempt'
import { EVENT_SCHEMA, encodeEvent } from '@sallyport/core/codec'
import { ensureTopics } from '@sallyport/core/kafka/admin'
import { partitionEnd } from '@sallyport/core/kafka/partition-ends'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { stableOffsetStalled } from '@sallyport/core/metrics'
import { partitionOf } from '@sallyport/core/partition'
import type { Settings } from '@sallyport/core/settings'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import { processorProvision } from '@sallyport/processor/config'
import { isStalled } from '@sallyport/processor/stalled'
import kafkajs from 'kafkajs'
import { eventOf, eventOn, type RawRecord, Topics } from '../support/events.ts'
import {
  agentEvent,
  PARTITIONS,
  type TestProcessor,
  testProcessor,
  testSettings,
} from '../support/processor.ts'
import { rawAdmin, rawKafka, rawTransactionalProducer } from '../support/raw-kafka.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { waitFor } from '../support/wait-for.ts'

const CLI = fileURLToPath(new URL('../../services/cli/src/main.ts', import.meta.url))
const AGENT = fileURLToPath(new URL('../support/agents/blocking-agent.ts', import.meta.url))

/** Resolves once the group's offsets stand at the end of the events. */
async function untilMirrored(kafka: ReturnType<typeof rawKafka>, groupId: string): Promise<void> {
  await rawAdmin(kafka, async admin => {
    for (;;) {
      const [committed] = await admin.fetchOffsets({ groupId, topics: [EVENTS_TOPIC] })
      const ends = await admin.fetchTopicOffsets(EVENTS_TOPIC)
      const reached = new Map(committed?.partitions.map(({ partition, offset }) => [partition, offset]))
      if (ends.every(({ partition, high }) => reached.get(partition) === high)) return
      await sleep(100)
    }
  })
}

describe('misuse', function () {
  this.timeout(90_000)
  let connection: { brokers: readonly string[]; registryUrl: string }
  let topics: Topics
  let processor: TestProcessor

  before(async () => {
    connection = await sharedCluster()
    topics = new Topics(connection, PARTITIONS)
  })
  after(() => topics.close())
  afterEach(() => processor.stop())

  const mine = ({ key }: RawRecord) => key?.startsWith(`${processor.source}/`) === true

  function emitting(settings = testSettings()): TestProcessor {
    processor = testProcessor(
      connection,
      (event, { attempt, emit }) => emit(processor.output, agentEvent(event.id, attempt)),
      {},
      settings,
    )
    return processor
  }

  function hasLogged(code: string): boolean {
    return processor.lines.some(line => line.includes(code))
  }

  it('whatever a handler throws or emits, its event ends in the dead letter with a reason, and the others go on', async () => {
    const large = 'x'.repeat(600_000)
    const wrongs: Record<string, (emit: (topic: string, value: unknown, key?: string) => void) => void> = {
      undefined: () => {
        throw undefined
      },
      string: () => {
        throw 'oh'
      },
      unprintable: () => {
        throw {
          toString() {
            throw new Error('no')
          },
        }
      },
      topic: emit => emit('sallyport.nowhere', {}),
      record: emit => emit(processor.output, { ...agentEvent('a', 1), agentId: 'x'.repeat(2_000_000) }),
      key: emit => emit(processor.output, agentEvent('a', 1), 'k'.repeat(2_000_000)),
      total: emit => {
        for (let i = 0; i < 4; i++) emit(processor.output, { ...agentEvent('a', 1), agentId: large })
      },
      partitions: emit => {
        for (let i = 0; i < 100; i++) emit(processor.output, agentEvent('a', 1), String(i))
      },
    }
    processor = testProcessor(
      connection,
      (event, { attempt, emit }) => {
        const { wrong } = JSON.parse(String(event.body)) as { wrong: string }
        wrongs[wrong]?.((topic, value, key) => emit(topic, value, key === undefined ? {} : { key }))
        emit(processor.output, agentEvent(event.id, attempt))
      },
      { retry: [] },
      withProcessing({ emitBytesMax: 2_000_000, transactionPartitionsMax: PARTITIONS - 1 }),
    )
    await processor.start()
    const events = [...Object.keys(wrongs), 'nothing'].map(wrong =>
      eventOf(processor.source, { wrong }, wrong),
    )
    await topics.append(events)
    const dead = await topics.read(processor.config.topics.deadLetter, mine, events.length - 1)
    const ends = Object.fromEntries(
      dead.map(({ key, headers }) => [
        key?.split('/')[1],
        `${headers['sallyport-reason']} ${headers['sallyport-code']} ${headers['sallyport-message']}`,
      ]),
    )
    assert.match(ends.undefined ?? '', /^exhausted SP_HANDLER_FAILED undefined/)
    assert.match(ends.string ?? '', /^exhausted SP_HANDLER_FAILED oh/)
    assert.match(ends.unprintable ?? '', /^exhausted SP_HANDLER_FAILED a value of type object/)
    assert.match(ends.topic ?? '', /^fatal SP_EMIT .*name it under outputs/)
    assert.match(ends.record ?? '', /^fatal SP_EMIT .*emit less/)
    assert.match(ends.key ?? '', /^fatal SP_EMIT .*emit less/)
    assert.match(ends.total ?? '', /^fatal SP_EMIT .*2000000 bytes in all/)
    assert.match(ends.partitions ?? '', /^fatal SP_EMIT .*processing\.transactionPartitionsMax/)
    await topics.read(processor.output, mine, 1)
    assert.deepEqual(
      (await topics.readAll(processor.output)).map(({ key }) => key),
      [`${processor.source}/nothing`],
    )
  })

  it('a record without headers is an event like others', async () => {
    emitting()
    await processor.start()
    const event = eventOf(processor.source, {})
    const schemaId = await createRegistry(connection.registryUrl).register(
      'sallyport.events-value',
      EVENT_SCHEMA,
    )
    const key = Buffer.from(event.id)
    await topics.appendRaw('sallyport.events', [
      { partition: partitionOf(key, PARTITIONS), key, value: encodeEvent(schemaId, event) },
    ])
    assert.equal((await topics.read(processor.output, mine, 1)).length, 1)
  })

  const NULLS = [
    'sallyport-generation',
    'sallyport-attempt',
    'sallyport-history',
    'sallyport-origin',
    'traceparent',
  ]
  for (const name of NULLS) {
    it(`${name} without a value is like none; the dead letter has the record’s other headers`, async () => {
      const dead = await deadWith({ [name]: null, 'x-null': null, 'x-text': 'a' })
      assert.deepEqual(
        ['x-null', 'x-text', 'sallyport-attempt'].map(one => dead?.headers[one]),
        ['null', 'a', '2'],
      )
      assert.match(dead?.headers['sallyport-origin'] ?? '', /^sallyport\.events\//)
    })
  }

  it('a header that is there twice, once without a value, comes to the dead letter as it was', async () => {
    const dead = await deadWith({ 'x-twice': ['a', null], 'sallyport-attempt': ['1', null] })
    assert.equal(dead?.headers['x-twice'], 'a,')
  })

  for (const attempt of ['0', '999999999999999']) {
    it(`an attempt ${attempt}, which no hop can have written, is the first`, async () => {
      const dead = await deadWith({ 'sallyport-attempt': attempt })
      assert.equal(dead?.headers['sallyport-attempt'], '2')
    })
  }

  it('a history that is nested as deep as no parser likes it is none', async () => {
    const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`
    const entry = `"attempt":1,"startedAt":0,"durationMs":0,"code":"","message":""`
    const dead = await deadWith({ 'sallyport-history': `[{${entry},"more":${deep}}]` })
    assert.deepEqual(
      parseHistory(dead?.headers['sallyport-history']).map(({ attempt }) => attempt),
      [1, 1, 2],
    )
  })

  it('header names that are no UTF-8 do not grow with each hop: they are left out', async () => {
    const dead = await deadWith({ 'bad-\ufffd': 'x', good: 'x' })
    assert.deepEqual(
      Object.keys(dead?.headers ?? {}).filter(name => /^(bad|good)/.test(name)),
      ['good'],
    )
  })

  for (const id of ['#positions', '#barrier', '#/a', 'no-separator', `SOURCE/${'x'.repeat(2_000)}`]) {
    it(`an event whose id is ${id.slice(0, 20)} is poison, and the claims topic can be read back`, async () => {
      // Timeline: a foreign producer writes the event where its key belongs; the processor starts again; another event of
      // the partition comes. Proves: no claim is written under a key that is the task's own, or too long for a record.
      emitting()
      const running = await processor.start()
      const event = eventOf(processor.source, {})
      const forged = { ...event, id: id.replace('SOURCE', processor.source) }
      await topics.append([forged], EVENTS_TOPIC, { mark: forged.source })
      const isIt = ({ headers }: RawRecord) => headers.mark === forged.source
      const [dead] = await topics.read(processor.config.topics.deadLetter, isIt, 1)
      assert.equal(dead?.headers['sallyport-code'], 'SP_POISON')
      await running.drain(2_000)
      await processor.start()
      await topics.append([eventOn(dead?.partition as number, PARTITIONS, processor.source, {})])
      assert.equal((await topics.read(processor.output, mine, 1)).length, 1)
    })
  }

  /** The dead letter of an event that a foreign producer wrote with these headers, and that fails twice. */
  async function deadWith(headers: Record<string, string | null | (string | null)[]>) {
    processor = testProcessor(
      connection,
      () => {
        throw new Error('no')
      },
      { retry: ['50ms'] },
    )
    await processor.start()
    await topics.append([eventOf(processor.source, {})], EVENTS_TOPIC, headers)
    const [dead] = await topics.read(processor.config.topics.deadLetter, mine, 1, 15_000)
    return dead
  }

  it('what a handler throws can make the engine fail: the stay ends, no more, and a slot is not lost', async () => {
    // Setup: one slot. Timeline: the handler throws a value that cannot even be asked what it is; the next time it goes
    // well. Proves: an error of ours around an attempt ends the task, never the process, and gives the slot back.
    let runs = 0
    const hostile = new Proxy(
      {},
      {
        getPrototypeOf() {
          throw new Error('do not ask')
        },
      },
    )
    processor = testProcessor(
      connection,
      (event, { attempt, emit }) => {
        if (++runs === 1) throw hostile
        emit(processor.output, agentEvent(event.id, attempt))
      },
      { concurrency: 1 },
    )
    await processor.start()
    await topics.append([eventOf(processor.source, {})])
    assert.equal((await topics.read(processor.output, mine, 1)).length, 1)
    assert.ok(hasLogged('left the group') && hasLogged('do not ask'))
  })

  it('a handler that never settles ends with its deadline, and does not hold up a stop', async () => {
    processor = testProcessor(connection, () => new Promise(() => {}), { retry: ['1h'], timeout: '300ms' })
    const running = await processor.start()
    await topics.append([eventOf(processor.source, {})])
    const [retried] = await topics.read(processor.config.topics.retry[0] as string, mine, 1)
    assert.match(retried?.headers['sallyport-history'] ?? '', /SP_HANDLER_TIMEOUT/)
    assert.ok(Date.parse(retried?.headers['sallyport-first-failed-at'] ?? '') > 0)
    await running.drain(2_000)

    let began = false
    processor = testProcessor(connection, () => {
      began = true
      return new Promise(() => {})
    })
    const stuck = await processor.start()
    await topics.append([eventOf(processor.source, {})])
    await waitFor(() => began)
    const drained = stuck.drain(200).then(() => 'drained')
    assert.equal(await Promise.race([drained, sleep(25_000, 'stuck', { ref: false })]), 'drained')
  })

  it('a claims topic that was deleted stops the processor, before and while it runs, until somebody makes a new one', async () => {
    emitting()
    const { claims } = processor.config.topics
    const kafka = rawKafka(connection.brokers)
    const deleteClaims = () => rawAdmin(kafka, admin => admin.deleteTopics({ topics: [claims] }))
    const first = await processor.start()
    const events = Array.from({ length: 10 }, () => eventOf(processor.source, {}))
    await topics.append(events)
    await topics.read(processor.output, mine, events.length)
    // Without claims only the group's offsets tell what was done, and they follow within a second.
    await untilMirrored(kafka, processor.config.groupId)
    await deleteClaims()
    await topics.append([eventOf(processor.source, {})])
    await assert.rejects(first.failed, { code: 'SP_CLAIMS_MISSING' })
    await first.drain(1_000)
    await assert.rejects(processor.start(), { code: 'SP_CLAIMS_MISSING' })
    // What `sallyport topics apply` does.
    await ensureTopics(kafka, processorProvision(testSettings(), processor.config).topics)
    await processor.start()
    await topics.read(processor.output, mine, events.length + 1)
    assert.equal((await topics.readAll(processor.output)).length, events.length + 1)
  })

  it('an output that was deleted while it runs is made again, and what was to be written there is', async () => {
    // Timeline: the output is deleted; another event is handled. Proves: its transaction fails as a whole, the stay ends,
    // and the next one makes the topic again before the handler runs once more.
    emitting()
    await processor.start()
    await topics.append([eventOf(processor.source, {})])
    await topics.read(processor.output, mine, 1)
    await rawAdmin(rawKafka(connection.brokers), admin => admin.deleteTopics({ topics: [processor.output] }))
    const next = eventOf(processor.source, {})
    await topics.append([next])
    await waitFor(() => hasLogged('left the group'), 60_000)
    await waitFor(() => processor.lines.filter(line => line.includes('joined the group')).length > 1)
    // A consumer ends where the topic is not there yet.
    const names = () => rawAdmin(rawKafka(connection.brokers), admin => admin.listTopics())
    await waitFor(async () => (await names()).includes(processor.output))
    await topics.read(processor.output, ({ key }) => key === next.id, 1)
    assert.equal((await topics.readAll(processor.output)).length, 1)
  })

  it('a topic whose partition count was changed is refused', async () => {
    emitting()
    const running = await processor.start()
    await running.drain(1_000)
    const topic = processor.config.topics.redrive
    await rawAdmin(rawKafka(connection.brokers), admin =>
      admin.createPartitions({ topicPartitions: [{ topic, count: PARTITIONS + 1 }] }),
    )
    await assert.rejects(processor.start(), { code: 'SP_PARTITION_COUNT' })
  })

  it('topics that grow while it runs leave a processor on the partitions that it has; its next stay is refused', async () => {
    // Timeline: the topics of a processor that works get another partition behind its back; it hears of it and joins
    // again; its events come again, and more; a foreign owner of a partition makes the stay end. Proves: until then
    // each event is processed once and the new partitions are nobody's; then the processor ends and says what to do,
    // because claims are not where their keys belong.
    const createConsumer = kafkajs.Kafka.prototype.consumer
    kafkajs.Kafka.prototype.consumer = function (config) {
      return createConsumer.call(this, { ...config, metadataMaxAge: 500 } as kafkajs.ConsumerConfig)
    }
    try {
      emitting()
      const running = await processor.start()
      const { claims, redrive, deadLetter, retry } = processor.config.topics
      const grown = [claims, redrive, deadLetter, ...retry, processor.output]
      const kafka = rawKafka(connection.brokers)
      // Each task has acquired its partition: one that asks for the bounds just now would end the stay.
      const before = Array.from({ length: PARTITIONS }, (_, p) =>
        eventOn(p, PARTITIONS, processor.source, {}),
      )
      await topics.append(before)
      await topics.read(processor.output, mine, before.length)
      const joins = () => processor.lines.filter(line => line.includes('joined the group')).length
      const joinedBefore = joins()
      await rawAdmin(kafka, admin =>
        admin.createPartitions({
          topicPartitions: grown.map(topic => ({ topic, count: PARTITIONS + 1 })),
        }),
      )
      await waitFor(() => joins() > joinedBefore)
      const events = [...before, ...Array.from({ length: 20 }, () => eventOf(processor.source, {}))]
      await topics.append([...events, ...events])
      await topics.read(processor.output, mine, events.length)
      const outputs = await topics.readAll(processor.output)
      assert.deepEqual(outputs.map(({ key }) => key).sort(), events.map(({ id }) => id).sort())
      for (const topic of [claims, processor.output]) {
        const ends = await rawAdmin(kafka, admin => admin.fetchTopicOffsets(topic))
        assert.equal(ends.find(({ partition }) => partition === PARTITIONS)?.high, '0', topic)
      }
      const owner = await rawTransactionalProducer(kafka, `${processor.config.groupId}-0`)
      const transaction = await owner.transaction()
      const message = { partition: 0, key: `${processor.source}/nothing`, value: null }
      await transaction.send({ topic: claims, messages: [message] })
      await transaction.abort()
      await owner.disconnect()
      await topics.append([eventOn(0, PARTITIONS, processor.source, {})])
      await assert.rejects(running.failed, { code: 'SP_PARTITION_COUNT', message: /sallyport topics grow/ })
    } finally {
      kafkajs.Kafka.prototype.consumer = createConsumer
    }
  })

  const STALLED: Record<string, () => string> = {
    'the main topic': () => EVENTS_TOPIC,
    'an output': () => processor.output,
    'the dead letter': () => processor.config.topics.deadLetter,
    'the claims': () => processor.config.topics.claims,
  }
  for (const [what, topicOf] of Object.entries(STALLED)) {
    it(`a transaction that was left open on ${what} is an alarm`, () => leftOpen(topicOf))
  }

  async function leftOpen(topicOf: () => string): Promise<void> {
    emitting(withProcessing({ lagIntervalMs: 200, stableOffsetStallMs: 1_000 }))
    await processor.start()
    // The partition runs: one that is being acquired finds out by itself (acquisition.ts).
    await topics.append([eventOn(0, PARTITIONS, processor.source, {})])
    await topics.read(processor.output, mine, 1)
    const other = await rawTransactionalProducer(rawKafka(connection.brokers), `open-${processor.source}`)
    const transaction = await other.transaction()
    try {
      await transaction.send({
        topic: topicOf(),
        messages: [{ partition: 0, key: 'left/open', value: 'open' }],
      })
      await waitFor(() => hasLogged(`SP_STALLED: ${topicOf()}/0`))
      assert.equal(await stalled(topicOf()), 1)
      // What an acquisition asks when its claims bring nothing.
      const end = await partitionEnd(connection, topicOf(), 0)
      assert.ok(end !== undefined && isStalled(end))
    } finally {
      await transaction.abort()
      await other.disconnect()
    }
    await waitFor(() => hasLogged('moves again'))
    assert.equal(await stalled(topicOf()), undefined)
  }

  async function stalled(topic: string): Promise<number | undefined> {
    const { values } = await stableOffsetStalled.get()
    const { name } = processor.config
    return values.find(({ labels }) => {
      return labels.processor === name && labels.topic === topic && labels.partition === '0'
    })?.value
  }

  it('a handler that blocks the event loop loses its partitions, and what it did meanwhile counts once', async () => {
    // Timeline: a process of its own owns everything; its handler computes for longer than the session time-out, so
    // the group gives its partitions to another process, which handles the event; then the first wakes and tries to
    // settle. Proves: it is fenced, and says what happened.
    emitting()
    const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-blocking-'))
    const config = path.join(folder, 'sallyport.yaml')
    const { name } = processor.config
    writeFileSync(
      config,
      `topics: { partitions: ${PARTITIONS} }
processing: { sessionTimeout: 6s, transactionTimeout: 5s, schemaDoubt: 500ms }
sources: { ${name}: { scheme: { header: X-Signature, algorithm: hmac-sha256, encoding: hex }, secrets: ['\${env:NOT_NEEDED_HERE}'] } }
processors: [${AGENT}]
`,
    )
    const child = spawn(process.execPath, ['--no-warnings', CLI, 'processor', name, '--config', config], {
      env: {
        ...process.env,
        TEST_PROCESSOR_NAME: name,
        KAFKA_BROKERS: connection.brokers.join(','),
        SCHEMA_REGISTRY_URL: connection.registryUrl,
        LOG_LEVEL: 'info',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let said = ''
    child.stdout.on('data', chunk => {
      said += chunk
    })
    try {
      await waitFor(() => said.includes('joined the group'), 60_000)
      const event = eventOf(processor.source, {})
      await topics.append([event])
      await waitFor(() => said.includes('the handler blocks'))
      await processor.start()
      await topics.read(processor.output, mine, 1)
      await waitFor(() => said.includes('SP_BLOCKED'))
      await waitFor(() => said.split('joined the group').length > 2, 60_000)
      const outputs = await topics.readAll(processor.output)
      assert.equal(outputs.length, 1)
      assert.equal((await topics.decode(outputs[0]?.value as Buffer)).agentId, 'a')
    } finally {
      child.kill('SIGKILL')
      rmSync(folder, { recursive: true })
    }
  })
})

function withProcessing(processing: Partial<Settings['processing']>): Settings {
  const settings = testSettings()
  return { ...settings, processing: { ...settings.processing, ...processing } }
}
