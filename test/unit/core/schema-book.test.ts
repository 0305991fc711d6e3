/** What a registry says of ids, and what is believed of it. The numbers are those at the top of schema-book.ts. */
import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { EVENT_SCHEMA, encodeEvent, encodeWire } from '@sallyport/core/codec'
import { DoubtAllowance } from '@sallyport/core/doubt-allowance'
import { type RegistryQuestions, registryQuestions } from '@sallyport/core/registry-questions'
import { RegistryReader } from '@sallyport/core/registry-reader'
import { BELIEVED_MS, SchemaBook } from '@sallyport/core/schema-book'
import { ValueDecoder } from '@sallyport/core/value-decoder'
import { eventOf } from '../../support/events.ts'

const AWAY = { code: 'SP_REGISTRY_UNREACHABLE', retryable: true }
/** No registry of these tests has it. */
const FOREIGN = 99

class FakeRegistry implements RegistryQuestions {
  readonly url = 'http://registry'
  readonly schemas = new Map<number, string>()
  /** Ids that were asked for, in order. */
  readonly asked: number[] = []
  /** Says of everything that it has none. */
  deniesAll = false

  async schemaText(id: number): Promise<string | undefined> {
    this.asked.push(id)
    return this.deniesAll ? undefined : this.schemas.get(id)
  }

  async hasSubjects(): Promise<boolean> {
    return !this.deniesAll && this.schemas.size > 0
  }
}

function registryWith(...ids: number[]): FakeRegistry {
  const registry = new FakeRegistry()
  for (const id of ids) registry.schemas.set(id, EVENT_SCHEMA.text)
  return registry
}

describe('what a registry answers', () => {
  let server: Server | undefined
  afterEach(() => server?.close())

  async function questionsTo(status: number, body: string): Promise<RegistryQuestions> {
    server = createServer((_, response) => response.writeHead(status).end(body)).listen(0, '127.0.0.1')
    await new Promise(resolve => server?.once('listening', resolve))
    return registryQuestions(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  }

  for (const code of [40_403, 40_402]) {
    it(`404 with error_code ${code} is its own word for: no such schema`, async () => {
      const questions = await questionsTo(404, JSON.stringify({ error_code: code, message: 'no' }))
      assert.equal(await questions.schemaText(1), undefined)
    })
  }

  const OTHERS: readonly (readonly [string, number, string])[] = [
    ['a page of a proxy', 404, '<html>404 Not Found</html>'],
    ['nothing', 404, ''],
    ['the JSON of something else', 404, '{"message":"no route"}'],
    ['null', 404, 'null'],
    ['a 404 for a path that it does not know', 404, '{"error_code":404,"message":"HTTP 404 Not Found"}'],
    ['a page with status 200', 200, '<html>Welcome</html>'],
    ['its words, with another status', 503, '{"error_code":40403}'],
    ['a refusal', 403, '{"error_code":40301}'],
  ]
  for (const [what, status, body] of OTHERS) {
    it(`${what} is no answer (G4)`, async () => {
      await assert.rejects((await questionsTo(status, body)).schemaText(1), AWAY)
    })
  }
})

describe('an id that the registry denies', () => {
  it('is asked for again, and found when the registry has it at last (G4)', async () => {
    const registry = registryWith(1)
    const book = new SchemaBook(registry, 300)
    const finding = book.find(2)
    await sleep(50)
    registry.schemas.set(2, EVENT_SCHEMA.text)
    assert.equal((await finding)?.name, EVENT_SCHEMA.name)
  })

  it('has no schema when the registry has denied it three times over a while, and has others (G4)', async () => {
    const registry = registryWith(1)
    const book = new SchemaBook(registry, 100)
    await book.find(1)
    const startedAt = performance.now()
    assert.equal(await book.find(FOREIGN), undefined)
    assert.ok(performance.now() - startedAt >= 85)
    assert.ok(registry.asked.filter(id => id === FOREIGN).length >= 3)
    assert.ok(registry.asked.filter(id => id === 1).length >= 3, 'each time it was asked for one that it has')
  })

  it('is not judged while the registry denies what it had, however long that takes (G4)', async () => {
    const registry = registryWith(1)
    const book = new SchemaBook(registry, 10)
    await book.find(1)
    registry.deniesAll = true
    for (let i = 0; i < 20; i++) await assert.rejects(book.find(2), AWAY)
    registry.deniesAll = false
    registry.schemas.set(2, EVENT_SCHEMA.text)
    assert.equal((await book.find(2))?.name, EVENT_SCHEMA.name)
  })

  it('is not judged while the registry denies what this process has registered (G4, G7)', async () => {
    const registry = registryWith()
    const book = new SchemaBook(registry, 0)
    book.know(5, EVENT_SCHEMA)
    await assert.rejects(book.find(2), AWAY)
  })

  it('is not judged by a registry that has nothing at all (G4)', async () => {
    await assert.rejects(new SchemaBook(registryWith(), 0).find(1), AWAY)
  })

  it('is asked for anew when ten minutes are over (G6)', async () => {
    const registry = registryWith(1)
    let now = 0
    const clock = () => now
    const book = new SchemaBook(registry, 0, clock)
    const decoder = new ValueDecoder(EVENT_SCHEMA, book.find, clock)
    const value = encodeEvent(2, eventOf('crm', 0))
    await decoder.learn(2)
    assert.equal(decoder.decode(value).kind, 'poison')
    registry.schemas.set(2, EVENT_SCHEMA.text)
    now = BELIEVED_MS - 1
    assert.equal(decoder.decode(value).kind, 'poison')
    now = BELIEVED_MS
    assert.equal(decoder.decode(value).kind, 'unknown-schema')
    await decoder.learn(2)
    assert.equal(decoder.decode(value).kind, 'value')
  })

  it('is doubted once, however many ask', async () => {
    const registry = registryWith(1)
    const book = new SchemaBook(registry, 20)
    const asking = Array.from({ length: 50 }, () => book.find(FOREIGN))
    assert.deepEqual(new Set(await Promise.all(asking)), new Set([undefined]))
    assert.ok(registry.asked.filter(id => id === FOREIGN).length < 10)
  })

  it('below 0 is no id: nobody is asked', () => {
    const value = encodeWire(-5, EVENT_SCHEMA.type, eventOf('crm', 0))
    const decoder = new ValueDecoder(EVENT_SCHEMA, async () => assert.fail('it asked'))
    assert.equal(decoder.decode(value).kind, 'poison')
  })
})

describe('schemas that this process has registered', () => {
  it('are known without a question, also while nobody answers (G7)', async () => {
    const book = new SchemaBook(registryQuestions('http://127.0.0.1:9'))
    book.know(7, EVENT_SCHEMA)
    const reader = new RegistryReader(EVENT_SCHEMA, book)
    assert.deepEqual((await reader.decode(encodeEvent(7, eventOf('crm', 0)))) instanceof Object, true)
  })
})

describe('a thousand ids that nobody knows', () => {
  /** Values under so many foreign ids. */
  function foreign(count: number): Buffer[] {
    return Array.from({ length: count }, (_, i) => encodeEvent(1_000 + i, eventOf('crm', i)))
  }

  it('one after the other, hold a reader for two doubts and not for a thousand (G5)', async () => {
    const registry = registryWith(1)
    const book = new SchemaBook(registry, 200)
    const reader = new RegistryReader(EVENT_SCHEMA, book)
    const startedAt = performance.now()
    for (const value of foreign(1_000)) await assert.rejects(reader.decode(value), /no schema/)
    const tookMs = performance.now() - startedAt
    assert.ok(tookMs >= 380 && tookMs < 1_500, `${tookMs} ms`)
    const times = new Map<number, number>()
    for (const id of registry.asked) times.set(id, (times.get(id) ?? 0) + 1)
    assert.ok(Math.min(...times.values()) >= 3, 'each was denied three times')
  })

  it('in one batch, hold a reader for one doubt for each hundred, at most for two (G5)', async () => {
    const book = new SchemaBook(registryWith(1), 200)
    const reader = new RegistryReader(EVENT_SCHEMA, book)
    const startedAt = performance.now()
    await reader.prepareAll(foreign(1_000))
    const tookMs = performance.now() - startedAt
    assert.ok(tookMs >= 200 && tookMs < 1_000, `${tookMs} ms`)
  })

  it('are doubted for a tenth of the time, however long they come (G5)', () => {
    let now = 0
    const allowance = new DoubtAllowance(1_000, 0.1, () => now)
    let heldMs = 0
    while (now < 1_000_000) {
      const forMs = allowance.leftMs
      allowance.begin()
      now += forMs
      heldMs += forMs
      allowance.end()
      assert.ok(heldMs <= 1_000 + now / 10 + 1)
      now += 10
    }
    assert.ok(heldMs > 90_000, `${heldMs} ms of ${now}`)
  })

  it('beside each other use the time up once (G5)', () => {
    let now = 0
    const allowance = new DoubtAllowance(1_000, 0.1, () => now)
    for (let i = 0; i < 10; i++) allowance.begin()
    now = 500
    assert.ok(allowance.leftMs > 500)
  })
})
