/** A subscriber's records while the registry says nothing that can be believed. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { EVENT_SCHEMA, encodeEvent } from '@sallyport/core/codec'
import { eventHeaders } from '@sallyport/core/headers'
import { registryQuestions } from '@sallyport/core/registry-questions'
import { SchemaBook } from '@sallyport/core/schema-book'
import type { KafkaMessage } from 'kafkajs'
import { Attempts } from '../../../services/subscriber/src/attempts.ts'
import { type RawRecord, RecordDecoder } from '../../../services/subscriber/src/decode.ts'
import { checkOptions } from '../../../services/subscriber/src/options.ts'
import { eventOf } from '../../support/events.ts'
import { startFakeRegistry } from '../../support/fake-registry.ts'
import { type CannedAnswer, NO_SCHEMA, RegistryProxy } from '../../support/registry-proxy.ts'

describe('a subscriber whose registry answers 404', () => {
  let registry: RegistryProxy
  let stopRegistry: () => void
  let url: string
  const event = eventOf('crm', 0)

  beforeEach(async () => {
    const behind = await startFakeRegistry(new Map([[4, EVENT_SCHEMA.text]]))
    registry = await RegistryProxy.start(behind.url)
    url = registry.url
    stopRegistry = () => {
      registry.stop()
      behind.stop()
    }
  })
  afterEach(() => stopRegistry())

  function recordUnder(schemaId: number): RawRecord {
    const headers = eventHeaders(event, undefined)
    const message = { key: Buffer.from(event.id), value: encodeEvent(schemaId, event), headers, offset: '0' }
    return { topic: 't', partition: 0, message: { ...message, timestamp: '0' } as unknown as KafkaMessage }
  }

  /** How records are passed; what became of them is in the lists. */
  function subscriber(doubtMs: number): {
    attempts: Attempts<'event.v1'>
    handled: string[]
    poison: string[]
  } {
    const handled: string[] = []
    const poison: string[] = []
    const options = checkOptions({
      brokers: ['unused:9092'],
      registry: { url },
      groupId: 'g',
      topics: ['t'],
      schema: 'event.v1',
      handler: ({ key }) => void handled.push(key),
      onPoison: ({ reason }) => void poison.push(reason),
      log() {},
    })
    const decoder = new RecordDecoder('event.v1', new SchemaBook(registryQuestions(url), doubtMs).find)
    return { attempts: new Attempts(options, decoder), handled, poison }
  }

  function signals() {
    return { abort: new AbortController().signal, drain: new AbortController().signal }
  }

  const ANSWERS: Readonly<Record<string, CannedAnswer>> = {
    'a page of a proxy': { status: 404, body: '<html>404 Not Found</html>' },
    nothing: { status: 404, body: '' },
    'its own words, for everything': NO_SCHEMA,
  }
  for (const [what, answer] of Object.entries(ANSWERS)) {
    it(`with ${what} waits for it, and calls no onPoison (G4)`, async () => {
      // Timeline: the registry answers so for a second, longer than it is doubted; then it has the schema. Proves: the
      // record is handled. It, and every later one, used to be poison.
      const { attempts, handled, poison } = subscriber(100)
      registry.answer(answer)
      const passing = attempts.pass(recordUnder(4), signals())
      await sleep(1_000)
      assert.ok(registry.denied > 0)
      registry.pass()
      assert.equal(await passing, true)
      assert.deepEqual([handled, poison], [[event.id], []])
    })
  }

  it('for one id that nobody knows, hands the record to onPoison after the doubt', async () => {
    const { attempts, handled, poison } = subscriber(100)
    assert.equal(await attempts.pass(recordUnder(4), signals()), true)
    assert.equal(await attempts.pass(recordUnder(5), signals()), true)
    assert.deepEqual([handled, poison], [[event.id], ['the registry has no schema 5']])
  })

  it('stops at once in the midst of a doubt: the record is another member’s (J5)', async () => {
    const { attempts, poison } = subscriber(5_000)
    const drain = new AbortController()
    setTimeout(() => drain.abort(), 100)
    const startedAt = performance.now()
    assert.equal(await attempts.pass(recordUnder(5), { ...signals(), drain: drain.signal }), false)
    assert.ok(performance.now() - startedAt < 4_000)
    assert.deepEqual(poison, [])
  })
})
