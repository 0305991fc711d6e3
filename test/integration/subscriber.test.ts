import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { trace } from '@opentelemetry/api'
import { EVENT_SCHEMA, encodeWire, parseSchema } from '@sallyport/core/codec'
import type { Event } from '@sallyport/core/event'
import { eventHeaders } from '@sallyport/core/headers'
import { createRegistry } from '@sallyport/core/kafka/registry'
import {
  type PoisonRecord,
  type SubscribedRecord,
  type SubscriberOptions,
  type Subscription,
  subscribe,
} from '../../services/subscriber/src/index.ts'
import type { Cluster } from '../support/cluster.ts'
import { eventOf, Topics, TRACEPARENT } from '../support/events.ts'
import { rawAdmin, rawKafka, rawTransactionalProducer } from '../support/raw-kafka.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { freshTopic } from '../support/topic.ts'

type Options = Partial<SubscriberOptions<'event.v1'>> & Pick<SubscriberOptions<'event.v1'>, 'handler'>

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const giveUpAt = Date.now() + 50_000
  while (!(await holds())) {
    assert.ok(Date.now() < giveUpAt, `never: ${holds}`)
    await sleep(50)
  }
}

describe('the subscriber', function () {
  this.timeout(60_000)
  let cluster: Cluster
  let topics: Topics
  let topic: string
  let groupId: string
  const started: Subscription[] = []

  before(async () => {
    cluster = await sharedCluster()
    topics = new Topics(cluster, 1)
  })
  beforeEach(async () => {
    topic = await freshTopic(cluster.brokers, 1)
    groupId = `test-${randomUUID()}`
  })
  afterEach(async () => {
    await Promise.all(started.splice(0).map(subscription => subscription.stop()))
  })
  after(async () => {
    await topics.close()
  })

  async function start(options: Options): Promise<Subscription> {
    const subscription = await subscribe({
      brokers: cluster.brokers,
      registry: { url: cluster.registryUrl },
      groupId,
      topics: [topic],
      schema: 'event.v1',
      sessionTimeoutMs: 6_000,
      retryDelaysMs: [10, 10],
      log: () => {},
      ...options,
    })
    subscription.ended.catch(() => {})
    started.push(subscription)
    return subscription
  }

  /** Offset that the group committed; -1 for none. */
  async function committed(): Promise<number> {
    const [offsets] = await rawAdmin(rawKafka(cluster.brokers), admin =>
      admin.fetchOffsets({ groupId, topics: [topic] }),
    )
    return Number(offsets?.partitions[0]?.offset)
  }

  it('hands over typed events with CloudEvents attributes, idempotency key and trace', async () => {
    const event = eventOf('crm', { a: 1 })
    await topics.append([event], topic)
    const got = Promise.withResolvers<SubscribedRecord<Event>>()
    await start({ handler: record => got.resolve(record) })
    const record = await got.promise
    assert.deepEqual({ ...record.value }, event)
    assert.deepEqual([record.topic, record.partition, record.offset, record.key], [topic, 0, 0, event.id])
    assert.deepEqual(record.cloudEvent, {
      id: event.id,
      source: 'crm',
      type: 'test',
      time: new Date(event.receivedAt).toISOString(),
    })
    assert.equal(record.idempotencyKey, event.id)
    const span = trace.getSpanContext(record.context)
    assert.deepEqual([span?.traceId, span?.spanId], TRACEPARENT.split('-').slice(1, 3))
    assert.equal(record.headers.traceparent, TRACEPARENT)
  })

  it('never hands over what a transaction took back', async () => {
    const aborted = eventOf('crm', 'aborted')
    const event = eventOf('crm', 'committed')
    const producer = await rawTransactionalProducer(rawKafka(cluster.brokers), randomUUID())
    const registered = await createRegistry(cluster.registryUrl).register(
      'sallyport.events-value',
      EVENT_SCHEMA,
    )
    const transaction = await producer.transaction()
    await transaction.send({
      topic,
      messages: [
        {
          partition: 0,
          key: aborted.id,
          value: encodeWire(registered, EVENT_SCHEMA.type, aborted),
          headers: eventHeaders(aborted, undefined),
        },
      ],
    })
    await transaction.abort()
    await producer.disconnect()
    await topics.append([event], topic)
    const got: string[] = []
    await start({ handler: ({ key }) => void got.push(key) })
    await until(() => got.length > 0)
    assert.deepEqual(got, [event.id])
  })

  it('tries a record again before the next one, then hands it to onExhausted and goes on', async () => {
    const events = [eventOf('crm', 0), eventOf('crm', 1)]
    await topics.append(events, topic)
    const calls: string[] = []
    const exhausted: string[] = []
    await start({
      handler({ key }, { attempt }) {
        calls.push(`${key} ${attempt}`)
        if (key === events[0]?.id) throw new Error('no')
      },
      onExhausted: ({ key }, error) => void exhausted.push(`${key} ${(error as Error).message}`),
    })
    await until(() => calls.length >= 4)
    const [bad, good] = events.map(({ id }) => id)
    assert.deepEqual(calls, [`${bad} 1`, `${bad} 2`, `${bad} 3`, `${good} 1`])
    assert.deepEqual(exhausted, [`${bad} no`])
  })

  it('ends at a record that nobody takes over, passes nothing over, and says what to do (J5)', async () => {
    const events = [eventOf('crm', 0), eventOf('crm', 1), eventOf('crm', 2)]
    await topics.append(events, topic)
    const subscription = await start({
      handler({ key }) {
        if (key === events[1]?.id) throw new Error('no')
      },
    })
    await assert.rejects(
      subscription.ended,
      new RegExp(`SP_SUBSCRIBER_STOPPED: stopped at ${topic}/0/1 .*failed 3 times: no.*give onExhausted`),
    )
    assert.equal(await committed(), 1)
    const got: string[] = []
    await start({ handler: ({ key }) => void got.push(key) })
    await until(() => got.length === 2)
    assert.deepEqual(got, [events[1]?.id, events[2]?.id])
  })

  it('hands poison to onPoison, its bytes unchanged, with the reason, and goes on', async () => {
    const event = eventOf('crm', 0)
    const values = [
      { value: Buffer.from('no wire format'), reason: /wire format/ },
      { value: Buffer.from([0, 0x7f, 0, 0, 1, 2, 3]), reason: /no schema 2130706433/ },
      { value: null, reason: /no value/ },
    ]
    await topics.appendRaw(
      topic,
      values.map(({ value }) => ({
        partition: 0,
        key: 'k',
        value,
        headers: { ce_id: 'k', twice: ['a', 'b'] },
      })),
    )
    await topics.appendRaw(topic, [{ partition: 0, key: 'k', value: Buffer.from([0, 0, 0, 0, 1, 2]) }])
    await topics.append([event], topic)
    const poisons: PoisonRecord[] = []
    const got: string[] = []
    await start({ handler: ({ key }) => void got.push(key), onPoison: poison => void poisons.push(poison) })
    await until(() => got.length > 0)
    assert.equal(poisons.length, 4)
    for (const [i, { value, reason }] of values.entries()) {
      assert.deepEqual([poisons[i]?.offset, poisons[i]?.value], [i, value])
      assert.match(poisons[i]?.reason as string, reason)
    }
    assert.equal(poisons[0]?.headers.twice, 'b')
    assert.match(poisons[3]?.reason as string, /no ce_id header/)
  })

  it('without onPoison it ends at poison', async () => {
    await topics.appendRaw(topic, [
      { partition: 0, key: 'k', value: Buffer.from('x'), headers: { ce_id: 'k' } },
    ])
    const subscription = await start({ handler() {} })
    await assert.rejects(subscription.ended, /SP_SUBSCRIBER_STOPPED.*give onPoison/)
    assert.equal(await committed(), 0)
  })

  it('reads what a newer pipeline writes, without the fields that it does not know', async () => {
    const newer = JSON.parse(EVENT_SCHEMA.text) as { fields: unknown[] }
    newer.fields.unshift({ name: 'tenant', type: 'string', default: '' })
    const schema = parseSchema(JSON.stringify(newer))
    const schemaId = await createRegistry(cluster.registryUrl).register(`${topic}-value`, schema)
    const event = eventOf('crm', 0)
    const value = encodeWire(schemaId, schema.type, { ...event, tenant: 'acme' })
    await topics.appendRaw(topic, [
      { partition: 0, key: event.id, value, headers: eventHeaders(event, undefined) },
    ])
    const got = Promise.withResolvers<SubscribedRecord<Event>>()
    await start({ handler: record => got.resolve(record) })
    assert.deepEqual({ ...(await got.promise).value }, event)
  })

  it('a registry that is away is waited for: nothing becomes poison', async () => {
    let requests = 0
    const registry = createServer(async (request, response) => {
      requests++
      if (requests <= 2) {
        response.writeHead(requests === 1 ? 503 : 200).end('a page of the proxy')
        return
      }
      assert.equal(request.headers.authorization, 'Basic eA==')
      const answer = await fetch(cluster.registryUrl + request.url)
      response.end(await answer.text())
    }).listen(0, '127.0.0.1')
    try {
      const event = eventOf('crm', 0)
      await topics.append([event], topic)
      const got: string[] = []
      const url = `http://127.0.0.1:${(registry.address() as AddressInfo).port}/`
      await start({
        registry: { url, headers: { authorization: 'Basic eA==' } },
        handler: ({ key }) => void got.push(key),
      })
      await until(() => got.length > 0)
      assert.deepEqual(got, [event.id])
      assert.equal(requests, 3)
    } finally {
      registry.close()
    }
  })

  it('stopping waits for the handler that runs, commits what it did, and begins nothing new (J6)', async () => {
    const events = [eventOf('crm', 0), eventOf('crm', 1)]
    await topics.append(events, topic)
    const running = Promise.withResolvers<void>()
    const release = Promise.withResolvers<void>()
    const handled: string[] = []
    const subscription = await start({
      async handler({ key }) {
        running.resolve()
        await release.promise
        handled.push(key)
      },
    })
    await running.promise
    assert.equal(await committed(), 0)
    const stopped = subscription.stop()
    release.resolve()
    await stopped
    await subscription.ended
    assert.deepEqual(handled, [events[0]?.id])
    assert.equal(await committed(), 1)
  })

  it('a handler that outlasts stopTimeoutMs is aborted, and its record comes again', async () => {
    const event = eventOf('crm', 0)
    await topics.append([event], topic)
    const running = Promise.withResolvers<AbortSignal>()
    const subscription = await start({
      stopTimeoutMs: 10,
      async handler(_record, { signal }) {
        running.resolve(signal)
        await sleep(3_600_000, undefined, { signal })
      },
    })
    const signal = await running.promise
    await subscription.stop()
    assert.equal(signal.aborted, true)
    assert.equal(await committed(), 0)
    const got: string[] = []
    await start({ handler: ({ key }) => void got.push(key) })
    await until(() => got.length > 0)
    assert.deepEqual(got, [event.id])
  })

  it('members share the partitions; a handler that lost its partition is aborted or finishes unseen, and nothing is missed (J8)', async () => {
    const wide = new Topics(cluster, 4)
    topic = await freshTopic(cluster.brokers, 4)
    const events = Array.from({ length: 200 }, (_, i) => eventOf('crm', i))
    await wide.append(events.slice(0, 100), topic)
    const byMember: Set<string>[] = [new Set(), new Set()]
    const handler = (member: number) => async (record: SubscribedRecord<Event>) => {
      await sleep(2)
      byMember[member]?.add(record.key)
    }
    const first = await start({ handler: handler(0) })
    await until(() => (byMember[0]?.size ?? 0) > 10)
    await start({ handler: handler(1) })
    await wide.append(events.slice(100), topic)
    const all = () => new Set([...(byMember[0] ?? []), ...(byMember[1] ?? [])])
    await until(() => all().size === 200 && (byMember[1]?.size ?? 0) > 0)
    await first.stop()
    const late = Array.from({ length: 20 }, (_, i) => eventOf('crm', i))
    await wide.append(late, topic)
    await until(() => late.every(({ id }) => byMember[1]?.has(id)))
    await wide.close()
  })

  it('a handler that runs longer than the session time-out keeps its partition (J7)', async () => {
    await topics.append([eventOf('crm', 0), eventOf('crm', 1)], topic)
    let joins = 0
    const got: number[] = []
    await start({
      sessionTimeoutMs: 6_000,
      async handler({ offset }) {
        if (offset === 0) await sleep(7_000)
        got.push(offset)
      },
      log: (_level, message) => {
        if (message === 'joined the group') joins++
      },
    })
    await until(() => got.length === 2)
    assert.deepEqual(got, [0, 1])
    assert.equal(joins, 1)
  })

  it('a group that starts at latest begins once: what comes to a quiet partition while nobody is there is handed over (J9)', async () => {
    // Setup: a group that begins behind what a topic has, and never gets a record. Timeline: it stops; one record comes;
    // it starts again. Proves: the record is handed over, and only it. The group used to begin anew, behind the record.
    await topics.append([eventOf('crm', 'before')], topic)
    const first = await start({ start: 'latest', handler: () => assert.fail('nothing has come') })
    // Already now, so that a member that is killed does not take it along.
    assert.equal(await committed(), 1)
    await first.stop()
    const event = eventOf('crm', 'meanwhile')
    await topics.append([event], topic)
    const got: string[] = []
    await start({ start: 'latest', handler: ({ key }) => void got.push(key) })
    await until(() => got.length > 0)
    assert.deepEqual(got, [event.id])
  })

  it('members that start together at latest miss nothing that comes afterwards (J9)', async () => {
    topic = await freshTopic(cluster.brokers, 2)
    const got = new Set<string>()
    const handler = ({ key }: SubscribedRecord<Event>) => void got.add(key)
    await Promise.all([start({ start: 'latest', handler }), start({ start: 'latest', handler })])
    const wide = new Topics(cluster, 2)
    const events = Array.from({ length: 20 }, (_, i) => eventOf('crm', i))
    await wide.append(events, topic)
    await wide.close()
    await until(() => events.every(({ id }) => got.has(id)))
  })

  it('a partition that a topic got later is read from its first record, also by a group that starts at latest (J9)', async () => {
    await (await start({ start: 'latest', handler() {} })).stop()
    await rawAdmin(rawKafka(cluster.brokers), admin =>
      admin.createPartitions({ topicPartitions: [{ topic, count: 2 }] }),
    )
    const event = eventOf('crm', 'new')
    const headers = eventHeaders(event, undefined)
    const schemaId = await createRegistry(cluster.registryUrl).register(
      'sallyport.events-value',
      EVENT_SCHEMA,
    )
    const value = encodeWire(schemaId, EVENT_SCHEMA.type, event)
    await topics.appendRaw(topic, [{ partition: 1, key: event.id, value, headers }])
    const got: string[] = []
    await start({ start: 'latest', handler: ({ key, partition }) => void got.push(`${partition} ${key}`) })
    await until(() => got.length > 0)
    assert.deepEqual(got, [`1 ${event.id}`])
  })

  it('a topic that is deleted and made again while it is read loses none of the new records', async () => {
    // Timeline: three records are handled; the topic is deleted and made again, with two new ones. Proves: both are
    // handed over, and it is said. They used to be left out, since three had been read.
    await topics.append([eventOf('crm', 0), eventOf('crm', 1), eventOf('crm', 2)], topic)
    const got: string[] = []
    const said: string[] = []
    await start({
      handler: ({ key }) => void got.push(key),
      log: (level, message) => {
        if (level === 'error') said.push(message)
      },
    })
    await until(() => got.length === 3)
    await rawAdmin(rawKafka(cluster.brokers), async admin => {
      await admin.deleteTopics({ topics: [topic] })
      await until(async () => !(await admin.listTopics()).includes(topic))
      await admin.createTopics({ topics: [{ topic, numPartitions: 1 }], waitForLeaders: true })
    })
    const events = [eventOf('crm', 3), eventOf('crm', 4)]
    await topics.append(events, topic)
    await until(() => got.length >= 5)
    assert.deepEqual(
      got.slice(3),
      events.map(({ id }) => id),
    )
    assert.ok(said.some(message => message.startsWith('a topic was deleted and made again')))
  })

  it('wrong options and a broker that is not there are said at once', async () => {
    await assert.rejects(start({ handler() {}, topics: [] }), /SP_SETTINGS: topics is empty/)
    await assert.rejects(start({ handler() {}, groupId: '' }), /SP_SETTINGS: groupId is empty/)
    await assert.rejects(start({ handler() {}, brokers: [] }), /SP_SETTINGS: brokers is empty/)
    await assert.rejects(start({ handler() {}, registry: { url: 'x' } }), /SP_SETTINGS: registry\.url/)
    await assert.rejects(start({ handler() {}, retryDelaysMs: [-1] }), /SP_SETTINGS: retryDelaysMs has -1/)
    await assert.rejects(start({ handler() {}, brokers: ['127.0.0.1:9'] }), { code: 'SP_BROKER_UNREACHABLE' })
    await assert.rejects(start({ handler() {}, topics: ['sallyport.test-absent'] }), {
      code: 'SP_BROKER_UNREACHABLE',
    })
  })
})
