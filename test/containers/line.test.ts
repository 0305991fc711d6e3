import assert from 'node:assert/strict'
import type { StartedTestContainer } from 'testcontainers'
import { type RawRecord, Topics } from '../support/events.ts'
import { type Answer, hangUp, inParallel, post, type Update, update, updates } from './crm.ts'
import { AUTHORITY, DEAD_LETTER, Line, OUTPUT, PARTITIONS, TIERS } from './line.ts'

/** As the load balancer says it; the ingresses believe it of this machine, which their network's gateway is. */
const OVER_TLS = { headers: { 'x-forwarded-proto': 'https' } }
/** Longer than ingress.drainTimeout and processing.drainTimeout. */
const GRACE_SECONDS = 40

describe('the line in containers: broker, registry, load balancer, two ingresses, two processors', function () {
  this.timeout(30_000)
  const line = new Line()
  let topics: Topics
  /** Every event that was accepted, and what is to become of it. */
  const accepted = new Map<string, 'processed' | 'dead'>()

  before(async function () {
    this.timeout(240_000)
    await line.start()
    topics = new Topics(line.connection, PARTITIONS)
  })

  afterEach(async function () {
    if (this.currentTest?.state === 'failed') console.error(await line.logs())
  })

  after(async function () {
    this.timeout(60_000)
    hangUp()
    await topics?.close()
    await line.stop()
  })

  function ingress(index: number): StartedTestContainer {
    return line.ingresses[index] as StartedTestContainer
  }

  function accept(answer: Answer, fate: 'processed' | 'dead' = 'processed'): string {
    assert.equal(answer.status, 200, answer.body)
    accepted.set(answer.id, fate)
    return answer.id
  }

  /** Posts through the load balancer, as a sender does. */
  function send(sent: Update, source = 'crm', headers: Record<string, string> = {}): Promise<Answer> {
    return post(line.publicUrl(source), sent, { ca: AUTHORITY, headers })
  }

  /** The records of these events on a topic, as soon as there are enough. */
  function records(topic: string, ids: readonly string[], enough = ids.length): Promise<RawRecord[]> {
    const wanted = new Set<string | null>(ids)
    return topics.read(topic, ({ key }) => wanted.has(key), enough, 60_000)
  }

  it('two processors share the partitions of one group', async () => {
    const shares = await line.members(2)
    assert.deepEqual(
      shares.map(({ length }) => length),
      [2, 2],
    )
    assert.deepEqual(shares.flat().sort(), [0, 1, 2, 3])
  })

  it('a signed webhook takes effect once, though it is delivered to both ingresses', async function () {
    this.timeout(90_000)
    const sent = updates(40)
    const ids = await inParallel(sent, 8, async (one, i) => {
      const first = accept(await post(line.url(ingress(i % 2)), one, OVER_TLS))
      const again = accept(await post(line.url(ingress((i + 1) % 2)), one, OVER_TLS))
      assert.equal(again, first)
      return first
    })
    assert.equal(new Set(ids).size, 40)
    const [record] = await records(OUTPUT, ids)
    const output = await topics.decode(record?.value as Buffer)
    assert.equal(output.eventId, record?.key)
    assert.equal(output.agentId, 'agent_ABC')
    assert.equal((await topics.readAll(OUTPUT, ({ key }) => ids.includes(key as string))).length, 40)
  })

  it('a forged or unsigned webhook is refused with 401 and reaches no topic', async () => {
    const forged = update({}, 'another secret')
    const answer = await post(line.url(ingress(0)), forged, OVER_TLS)
    assert.equal(answer.status, 401)
    assert.match(answer.body, /"code":/)
    assert.equal((await post(line.url(ingress(1)), { ...forged, signature: '' }, OVER_TLS)).status, 401)
  })

  it('agent_XYZ with error goes through every tier and ends as a dead letter with its signed bytes', async function () {
    this.timeout(90_000)
    const failing = update({ agent_id: 'agent_XYZ', status: 'error' })
    const id = accept(await post(line.url(ingress(0)), failing, OVER_TLS), 'dead')
    const [dead] = await records(DEAD_LETTER, [id])
    assert.ok(dead?.value)
    assert.deepEqual((await topics.decode(dead.value)).body, failing.body)
    assert.equal((JSON.parse(dead.headers['sallyport-history'] as string) as unknown[]).length, 3)
    for (const tier of TIERS) assert.equal((await records(tier, [id])).length, 1)
  })

  it('plain HTTP straight to an ingress is refused', async () => {
    const answer = await post(line.url(ingress(0)), update())
    assert.equal(answer.status, 403)
    assert.match(answer.body, /HTTPS/)
  })

  it('over HTTPS the load balancer hands deliveries to the ingresses in turn', async () => {
    for (const one of updates(6)) accept(await send(one))
    const served = await line.served(6)
    assert.equal(served.length, 6)
    assert.equal(new Set(served).size, 2)
    assert.ok(
      served.every((name, i) => i === 0 || name !== served[i - 1]),
      served.join(', '),
    )
  })

  it('a sender cannot make up its address: what the load balancer says of it is what counts', async () => {
    const claim = { 'x-forwarded-for': '203.0.113.7' }
    const made = update()
    assert.equal((await send(made, 'crm-office', claim)).status, 403)
    const believed = await post(line.url(ingress(0), 'crm-office'), made, {
      headers: { ...OVER_TLS.headers, ...claim },
    })
    assert.equal(believed.status, 200, 'the same claim by a trusted proxy')
  })

  it('docker stop lets an ingress finish a delivery that is half there, and exit 0; no sender is turned away', async function () {
    this.timeout(120_000)
    let stopping: Promise<number> | undefined
    const half = await post(line.url(ingress(0)), update(), {
      ...OVER_TLS,
      halfway: async () => {
        const sending = inParallel(updates(60), 8, one => send(one))
        stopping = line.stopGently(ingress(0), GRACE_SECONDS)
        await line.closed(ingress(0))
        for (const answer of await sending) accept(answer)
      },
    })
    accept(half)
    assert.equal(await stopping, 0)
  })

  it('a processor that is killed in the middle of its work loses nothing and doubles nothing', async function () {
    this.timeout(120_000)
    const ids = await inParallel(updates(160), 16, async one => accept(await send(one)))
    await records(OUTPUT, ids, 20)
    await line.kill(line.processors[0] as StartedTestContainer)
    const atTheKill = await topics.readAll(OUTPUT, ({ key }) => ids.includes(key as string))
    assert.ok(atTheKill.length < ids.length, 'the kill came too late to mean anything')
    await records(OUTPUT, ids)
    assert.deepEqual(await line.members(1), [[0, 1, 2, 3]])
  })

  it('docker stop lets a processor finish its attempts and exit 0; the next one goes on where it stood', async function () {
    this.timeout(120_000)
    const ids = await inParallel(updates(60), 16, async one => accept(await send(one)))
    await records(OUTPUT, ids, 5)
    assert.equal(await line.stopGently(line.processors[1] as StartedTestContainer, GRACE_SECONDS), 0)
    const settled = await topics.readAll(OUTPUT, ({ key }) => ids.includes(key as string))
    assert.ok(settled.length < ids.length, 'the stop came too late to mean anything')
    await line.startProcessor()
    await records(OUTPUT, ids)
  })

  it('in the end every accepted event took effect exactly once, and nothing else did', async function () {
    this.timeout(60_000)
    const processed = [...accepted].filter(([, fate]) => fate === 'processed').map(([id]) => id)
    const dead = [...accepted].filter(([, fate]) => fate === 'dead').map(([id]) => id)
    const outputs = (await topics.readAll(OUTPUT)).map(({ key }) => key)
    const deadLetters = (await topics.readAll(DEAD_LETTER)).map(({ key }) => key)
    assert.deepEqual(outputs.sort(), processed.sort())
    assert.deepEqual(deadLetters, dead)
  })
})
