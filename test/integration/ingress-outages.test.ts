import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { Topics } from '../support/events.ts'
import { type Answer, CRM, send, signed, type TestIngress, testIngress, ticket } from '../support/ingress.ts'
import { PARTITIONS } from '../support/processor.ts'

const PUBLISH_TIMEOUT_MS = 2_000
/** What a busy machine may add; without a deadline an answer would take half a minute and more. */
const BUSY_MS = 10_000
const SETTINGS = `publishTimeout: ${PUBLISH_TIMEOUT_MS}ms, retryAfter: 3s`

describe('outages around the ingress', function () {
  this.timeout(120_000)
  let cluster: Cluster
  let ingress: TestIngress | undefined

  before(async () => {
    cluster = await startCluster({ brokers: 1 })
  })
  after(() => cluster.stop())
  afterEach(async () => {
    await ingress?.stop()
    ingress = undefined
  })

  async function started(settings = SETTINGS): Promise<TestIngress & { readonly door: string }> {
    ingress = await testIngress(cluster, CRM, { ingress: settings })
    return { ...ingress, door: `${ingress.url}/webhooks/${ingress.source}` }
  }

  async function deliver(door: string): Promise<Answer> {
    const body = ticket()
    return await send(door, { body, headers: signed(body) })
  }

  async function health(url: string): Promise<[live: number, ready: number, state: unknown]> {
    const live = await send(`${url}/health/live`, { method: 'GET' })
    const ready = await send(`${url}/health/ready`, { method: 'GET' })
    return [live.status, ready.status, ready.json.status]
  }

  async function untilReady(url: string): Promise<void> {
    const deadline = Date.now() + 30_000
    while ((await health(url))[1] !== 200) {
      assert.ok(Date.now() < deadline, 'the ingress did not become ready by itself')
      await sleep(100)
    }
  }

  function assertTryAgain(answer: Answer, code: string): void {
    assert.equal(answer.status, 503, answer.text)
    assert.equal(answer.json.code, code)
    assert.equal(answer.headers['retry-after'], '3')
  }

  it('an event schema that the registry refuses ends the ingress with the reason', async () => {
    const subject = `${cluster.registryUrl}/subjects/${EVENTS_TOPIC}-value`
    const other = {
      type: 'record',
      name: 'Event',
      namespace: 'io.sallyport',
      fields: [{ name: 'id', type: 'int' }],
    }
    const registered = await fetch(`${subject}/versions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ schema: JSON.stringify(other) }),
    })
    assert.equal(registered.status, 200)
    await fetch(`${cluster.registryUrl}/config/${EVENTS_TOPIC}-value`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: '{"compatibility":"BACKWARD_TRANSITIVE"}',
    })
    const { failed, door } = await started()
    await assert.rejects(failed, /SP_SCHEMA_INCOMPATIBLE: the registry refuses io\.sallyport\.Event/)
    assertTryAgain(await deliver(door), 'not-ready')
    assert.equal((await fetch(subject, { method: 'DELETE' })).status, 200)
    await fetch(`${subject}?permanent=true`, { method: 'DELETE' })
  })

  it('without broker and registry it starts: live, not ready, 503 with Retry-After; then ready by itself', async () => {
    await cluster.kill(0)
    await cluster.stopRegistry()
    const { url, door, ready } = await started()
    assert.deepEqual(await health(url), [200, 503, 'starting'])
    assertTryAgain(await deliver(door), 'not-ready')
    await cluster.restart(0)
    assertTryAgain(await deliver(door), 'not-ready')
    await cluster.startRegistry()
    await ready
    assert.deepEqual(await health(url), [200, 200, 'ready'])
    assert.equal((await deliver(door)).status, 200)
  })

  it('a broker that goes away: 503 within the deadline, not ready, recovery by itself, nothing lost', async () => {
    const { url, door, source, ready } = await started()
    await ready
    const accepted = new Set<unknown>()
    let refused = 0
    let sending = true
    const senders = Array.from({ length: 8 }, async () => {
      while (sending) {
        const startedAt = Date.now()
        const answer = await deliver(door)
        if (answer.status === 200) {
          accepted.add(answer.json.id)
        } else {
          assertTryAgain(answer, 'not-published')
          assert.ok(Date.now() - startedAt < PUBLISH_TIMEOUT_MS + BUSY_MS)
          refused++
        }
      }
    })
    await sleep(500)
    await cluster.kill(0)
    await sleep(5_000)
    assert.deepEqual(await health(url), [200, 503, 'unreachable'])
    const before = accepted.size
    await cluster.restart(0)
    await untilReady(url)
    await sleep(1_000)
    sending = false
    await Promise.all(senders)
    assert.ok(before > 0 && refused > 0 && accepted.size > before)
    const topics = new Topics(cluster, PARTITIONS)
    const found = new Set<unknown>()
    await topics.read(
      EVENTS_TOPIC,
      ({ key, headers }) => {
        if (headers.ce_source === source && accepted.has(key)) found.add(key)
        return found.size === accepted.size
      },
      1,
    )
    assert.equal(found.size, accepted.size, 'every event that was answered 2xx is in the topic')
  })

  it('a broker that hangs is noticed as one that is gone', async () => {
    const { url, door, ready } = await started()
    await ready
    cluster.pause(0)
    const startedAt = Date.now()
    assertTryAgain(await deliver(door), 'not-published')
    assert.ok(Date.now() - startedAt < PUBLISH_TIMEOUT_MS + BUSY_MS)
    await sleep(3_500)
    assert.equal((await health(url))[1], 503)
    cluster.resume(0)
    await untilReady(url)
    assert.equal((await deliver(door)).status, 200)
  })

  it('a registry that goes away is not missed', async () => {
    const { url, door, ready } = await started()
    await ready
    await cluster.stopRegistry()
    for (let i = 0; i < 20; i++) assert.equal((await deliver(door)).status, 200)
    assert.deepEqual(await health(url), [200, 200, 'ready'])
    await cluster.startRegistry()
  })

  it('topics of another partition count end the ingress with what to do', async () => {
    const settings = CRM.replace('sources:', 'topics: { partitions: 7 }\nsources:')
    ingress = await testIngress(cluster, settings)
    await assert.rejects(ingress.failed, /SP_PARTITION_COUNT: .*settings say 7/)
  })

  it('draining without a broker ends with the deadline of what is in flight', async () => {
    const { door, ready, drain } = await started()
    await ready
    await cluster.kill(0)
    const waiting = deliver(door)
    await sleep(200)
    const startedAt = Date.now()
    await drain(10_000)
    assert.ok(Date.now() - startedAt < PUBLISH_TIMEOUT_MS + BUSY_MS)
    assertTryAgain(await waiting, 'not-published')
    await cluster.restart(0)
  })
})
