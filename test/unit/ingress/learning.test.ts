/** Several ingresses that learn a sender's secret from one topic, and strangers who would like to teach them theirs. */
import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { SealingKeys } from '@sallyport/core/sealing'
import { type SourceSecret, SourceSecrets, sourceSecret } from '@sallyport/core/source-secrets'
import { openDoor } from '@sallyport/ingress/config'
import { Learning, type LearntSecrets } from '@sallyport/ingress/learning'
import { compileSource } from '@sallyport/ingress/sources'
import { type TestHandler, testHandler } from '../../support/handler.ts'
import { keptLog, send } from '../../support/ingress.ts'
import { hmac, NOW_MS } from '../../support/signed-request.ts'

const NONCE = 'the-nonce-of-the-operator'
const GENUINE = 'genuine-secret-of-asana'
const KEY = 'a sealing key that is long enough for tests'

/** The topic, without Kafka: one order for all, and readers that are late by as much as they like. */
class FakeTopic {
  readonly records: SourceSecret[] = []
  now = NOW_MS
  readonly #times: number[] = []
  readonly #wake = new Set<() => void>()

  append(record: SourceSecret): number {
    this.records.push(record)
    this.#times.push(this.now)
    for (const wake of this.#wake) wake()
    return this.records.length - 1
  }

  /** One reader's view, whose reads and writes are late. */
  reader(lateMs: () => number) {
    const { records } = this
    const times = this.#times
    const wakers = this.#wake
    return {
      append: async (record: SourceSecret): Promise<number> => {
        await sleep(lateMs())
        return this.append(record)
      },
      async follow(signal: AbortSignal, onState: (state: SourceSecrets, end: number) => void): Promise<void> {
        const state = new SourceSecrets()
        for (let read = 0; !signal.aborted; ) {
          while (read < records.length)
            state.apply(read, times[read] as number, records[read++] as SourceSecret)
          onState(state, read)
          const woken = Promise.withResolvers<void>()
          wakers.add(woken.resolve)
          await Promise.race([woken.promise, sleep(1_000, undefined, { signal }).catch(() => {})])
          wakers.delete(woken.resolve)
          await sleep(lateMs())
        }
      },
    }
  }
}

describe('the secret of a handshake', () => {
  let topic: FakeTopic
  let ends: (() => void)[]

  beforeEach(() => {
    topic = new FakeTopic()
    ends = []
  })
  afterEach(() => {
    for (const end of ends) end()
  })

  /** An ingress of its own process, as far as the topic is concerned. */
  async function ingress(
    lateMs: () => number = () => 0,
    key = KEY,
  ): Promise<
    TestHandler & { secrets: () => readonly string[]; verifies: (secret: string) => Promise<number> }
  > {
    const stopping = new AbortController()
    const settings = { preset: 'asana', awaitSecret: true }
    let secrets: readonly string[] = []
    const doors: { asana?: { source: ReturnType<typeof compileSource> } } = {}
    const learning = new Learning({
      topic: topic.reader(lateMs),
      sources: () => ['asana'],
      keys: () => new SealingKeys([key], 'ingress.sealingKeys'),
      onLearnt(learnt: LearntSecrets) {
        secrets = learnt.get('asana') ?? []
        if (secrets.length > 0)
          Object.assign(doors.asana ?? {}, { source: compileSource('asana', { ...settings, secrets }) })
      },
      clock: () => topic.now,
      log: keptLog().log,
      timeoutMs: 2_000,
    })
    const handler = await testHandler(
      { asana: settings },
      { learning, ingress: 'trustedProxies: [127.0.0.1]' },
    )
    doors.asana = handler.doors.get('asana') as never
    const following = learning.follow(stopping.signal)
    ends.push(() => {
      stopping.abort()
      handler.close()
      void following
    })
    while (!learning.known) await sleep(1)
    return {
      ...handler,
      secrets: () => secrets,
      async verifies(secret) {
        const body = '{"events":[{"action":"changed"}]}'
        const headers = { 'X-Hook-Signature': hmac('sha256', secret, body) }
        return (await send(`${handler.url}/asana`, { body, headers })).status
      },
    }
  }

  const open = (more: Partial<SourceSecret> = {}, window = 'w1') =>
    topic.append(
      sourceSecret({
        source: 'asana',
        step: 'OPENED',
        window,
        forMs: 60_000,
        nonceHash: hash('sha256', NONCE, 'hex'),
        ...more,
      }),
    )

  function offer(
    { url }: TestHandler,
    secret: string,
    { nonce = null, from }: { nonce?: string | null; from?: string } = {},
  ) {
    return send(`${url}/asana${nonce === null ? '' : `?learn=${nonce}`}`, {
      body: '{}',
      headers: { 'X-Hook-Secret': secret, ...(from === undefined ? {} : { 'X-Forwarded-For': from }) },
    })
  }

  it('outside a window is no secret: a stranger gets the 401 of any delivery that proves nothing', async () => {
    const one = await ingress()
    const plain = await send(`${one.url}/asana`, { body: '{}', headers: { Via: 'x' } })
    for (const headers of [
      { 'X-Hook-Secret': 'a-stranger-was-here', Via: 'x' },
      { 'X-Hook-Secret': 'short', Via: 'x' },
      { 'X-Hook-Secret': 'x'.repeat(600), Via: 'x' },
    ]) {
      const answer = await send(`${one.url}/asana?learn=${NONCE}`, { body: '{}', headers })
      assert.equal(answer.status, 401)
      assert.equal(answer.text, plain.text)
    }
    assert.deepEqual(topic.records, [])
    assert.equal(await one.verifies('a-stranger-was-here'), 401)
  })

  it('of two strangers and the genuine sender who race is the genuine one, at every ingress', async () => {
    for (let round = 0; round < 10; round++) {
      topic = new FakeTopic()
      const late = () => Math.random() * 5
      const replicas = await Promise.all([ingress(late), ingress(late), ingress(late)])
      open()
      await sleep(20)
      const [first, second, third] = replicas as [TestHandler, TestHandler, TestHandler]
      const [early, genuine, wrong] = await Promise.all([
        offer(first, 'a-stranger-was-here'),
        offer(second, GENUINE, { nonce: NONCE }),
        offer(third, 'another-stranger-here', { nonce: 'guessed' }),
      ])
      assert.deepEqual([early?.status, genuine?.status, wrong?.status], [401, 200, 401])
      assert.equal(genuine?.headers['x-hook-secret'], GENUINE)
      await sleep(30)
      for (const replica of replicas) {
        assert.deepEqual(replica.secrets(), [GENUINE])
        assert.equal(await replica.verifies(GENUINE), 200)
        assert.equal(await replica.verifies('a-stranger-was-here'), 401)
      }
    }
  })

  it('is one, the same everywhere, also where all who race know the nonce', async () => {
    for (let round = 0; round < 10; round++) {
      topic = new FakeTopic()
      const late = () => Math.random() * 5
      const replicas = await Promise.all([ingress(late), ingress(late), ingress(late)])
      open()
      await sleep(20)
      const offers = replicas.flatMap((replica, i) =>
        [0, 1].map(n => offer(replica, `secret-offered-${i}-${n}`, { nonce: NONCE })),
      )
      const answers = await Promise.all(offers)
      const taken = answers.filter(({ status }) => status === 200)
      assert.equal(taken.length, 1)
      assert.equal(answers.filter(({ status }) => status === 401).length, 5)
      await sleep(30)
      for (const replica of replicas)
        assert.deepEqual(replica.secrets(), [taken[0]?.headers['x-hook-secret']])
    }
  })

  it('is taken from the addresses that the operator named alone', async () => {
    const one = await ingress()
    open({ nonceHash: null, from: ['203.0.113.0/24'] })
    await sleep(5)
    assert.equal((await offer(one, 'a-stranger-was-here', { from: '198.51.100.7' })).status, 401)
    assert.equal((await offer(one, 'a-stranger-was-here')).status, 401)
    assert.equal((await offer(one, 'a-stranger-was-here', { from: '203.0.113.9, 198.51.100.7' })).status, 401)
    assert.equal((await offer(one, GENUINE, { from: '203.0.113.9' })).status, 200)
    assert.deepEqual(one.secrets(), [GENUINE])
  })

  it('needs both where the operator wants both, and a window for anybody is none', async () => {
    const one = await ingress()
    open({ from: ['203.0.113.0/24'] })
    await sleep(5)
    assert.equal((await offer(one, 'a-stranger-was-here', { from: '203.0.113.9' })).status, 401)
    assert.equal(
      (await offer(one, 'a-stranger-was-here', { nonce: NONCE, from: '198.51.100.7' })).status,
      401,
    )
    open({ nonceHash: null }, 'w2')
    await sleep(5)
    assert.equal((await offer(one, 'a-stranger-was-here')).status, 401)
    assert.deepEqual(one.secrets(), [])
  })

  it('is not taken after the window has closed, by its time or by the operator', async () => {
    const one = await ingress()
    open()
    topic.now += 60_001
    await sleep(5)
    assert.equal((await offer(one, 'too-late-for-that', { nonce: NONCE })).status, 401)
    open({}, 'w2')
    topic.append(sourceSecret({ source: 'asana', step: 'CLOSED', window: 'w2' }))
    await sleep(5)
    assert.equal((await offer(one, 'too-late-for-that', { nonce: NONCE })).status, 401)
    assert.deepEqual(one.secrets(), [])
  })

  it('that reaches the topic after the time is none, although the window was open when it was offered', async () => {
    const slow = await ingress(() => 20)
    open()
    await sleep(60)
    const answer = offer(slow, GENUINE, { nonce: NONCE })
    await sleep(5)
    topic.now += 60_001
    assert.equal((await answer).status, 401)
    assert.deepEqual(slow.secrets(), [])
  })

  it('once learnt closes the window: the nonce, which the sender’s URL keeps, lets nobody else in', async () => {
    const one = await ingress()
    open()
    await sleep(5)
    assert.equal((await offer(one, GENUINE, { nonce: NONCE })).status, 200)
    assert.equal((await offer(one, 'a-stranger-was-here', { nonce: NONCE })).status, 401)
    assert.equal((await offer(one, GENUINE, { nonce: NONCE })).status, 200, 'the same handshake again')
    assert.deepEqual(one.secrets(), [GENUINE])
  })

  it('outlives a restart, and comes to an ingress that starts later', async () => {
    const one = await ingress()
    open()
    await sleep(5)
    assert.equal((await offer(one, GENUINE, { nonce: NONCE })).status, 200)
    for (const end of ends.splice(0)) end()
    const restarted = await ingress()
    const later = await ingress()
    for (const replica of [restarted, later]) {
      assert.deepEqual(replica.secrets(), [GENUINE])
      assert.equal(await replica.verifies(GENUINE), 200)
    }
  })

  it('is answered with 503 while an ingress does not know yet what was learnt, never with a 401', async () => {
    const learning = { known: false, learn: async () => 'closed' as const }
    const handler = await testHandler({ asana: { preset: 'asana', awaitSecret: true } }, { learning })
    ends.push(() => handler.close())
    const { status, json } = await send(`${handler.url}/asana`, { body: '{}' })
    assert.deepEqual([status, json.code], [503, 'not-ready'])
  })

  it('stands in the topic sealed, and is nobody’s without the key', async () => {
    const one = await ingress()
    open()
    await sleep(5)
    await offer(one, GENUINE, { nonce: NONCE })
    const text = JSON.stringify(
      topic.records.map(record => ({ ...record, sealed: record.sealed?.toString('latin1') })),
    )
    assert.equal(text.includes(GENUINE) || text.includes(NONCE), false)
    const other = await ingress(() => 0, 'another key that is long enough for tests')
    assert.deepEqual(other.secrets(), [])
    assert.equal(await other.verifies(GENUINE), 401)
  })

  it('that may not be is a failure of its address like any other, so that nobody can try nonces without end', async () => {
    const learning = { known: true, learn: async () => 'closed' as const }
    const settings = { asana: { preset: 'asana', awaitSecret: true } }
    const handler = await testHandler(settings, { learning, ingress: 'failuresPerMinuteMax: 3' })
    ends.push(() => handler.close())
    const statuses: number[] = []
    for (let i = 0; i < 5; i++) {
      statuses.push((await offer(handler, 'a-stranger-was-here', { nonce: `guess-${i}` })).status)
    }
    assert.deepEqual(statuses, [401, 401, 401, 429, 429])
  })

  it('costs no more where the source has a bodySchema: anybody may offer one', () => {
    const member = {
      type: 'object',
      properties: { a: { type: 'string', pattern: '^a+$' }, b: { enum: [1, 2] } },
    }
    const properties = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`p${i}`, member]))
    const settings = { preset: 'asana', awaitSecret: true }
    const [plain, withSchema] = [settings, { ...settings, bodySchema: { properties } }].map(entry => {
      const { usable } = openDoor('tasks', entry, {}, () => NOW_MS)
      const took = Array.from({ length: 20 }, () => {
        const from = performance.now()
        assert.equal(usable(GENUINE), true)
        return performance.now() - from
      })
      return Math.min(...took)
    }) as [number, number]
    assert.ok(withSchema < 5 * plain + 1, `${withSchema} ms with a schema, ${plain} ms without`)
  })

  it('reaches no log', async () => {
    const one = await ingress()
    open()
    await sleep(5)
    await offer(one, GENUINE, { nonce: NONCE })
    await offer(one, 'a-stranger-was-here')
    assert.doesNotMatch(one.lines.join(''), new RegExp(`${GENUINE}|${NONCE}|a-stranger-was-here`))
  })
})
