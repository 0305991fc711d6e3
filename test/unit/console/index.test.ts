/** The index on its own: records in, rows out. The numbers are those at the top of the files. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { bodyText } from '@sallyport/console/index/body-text'
import { indexError, openIndex } from '@sallyport/console/index/database'
import { expire } from '@sallyport/console/index/expire'
import { fitPositions, recordsBehind, storedPositions } from '@sallyport/console/index/positions'
import { searchEvents } from '@sallyport/console/index/search'
import { eventStory } from '@sallyport/console/index/story'
import { IndexWriter, PositionsChanged } from '@sallyport/console/index/writer'
import { EVENT_SCHEMA, encodeEvent, encodeWire } from '@sallyport/core/codec'
import type { Event } from '@sallyport/core/event'
import { HEADER } from '@sallyport/core/headers'
import type { ReadBatch } from '@sallyport/core/kafka/topic-reader'
import { SchemaBook } from '@sallyport/core/schema-book'
import { AUDIT_TOPIC, EVENTS_TOPIC } from '@sallyport/core/topics'
import { POSITIONS_KEY } from '@sallyport/processor/claims-record'
import { CLAIM_SCHEMA, POSITIONS_SCHEMA } from '@sallyport/processor/config'
import { eventOf } from '../../support/events.ts'

const SCHEMAS = [EVENT_SCHEMA, CLAIM_SCHEMA, POSITIONS_SCHEMA]
const CLAIMS = 'sallyport.p.claims'
const DEAD = 'sallyport.p.dead-letter'
const DAY_MS = 86_400_000
const NOW = Date.UTC(2026, 10, 24)

interface Written {
  readonly key: string
  readonly value: Buffer | null
  readonly headers?: Record<string, string>
  readonly at?: number
}

/** One fetch of partition 0. */
function batch(topic: string, from: number, records: readonly Written[]): ReadBatch {
  return {
    topic,
    partition: 0,
    from,
    next: from + records.length,
    records: records.map(({ key, value, headers = {}, at = NOW }, i) => ({
      topic,
      partition: 0,
      offset: from + i,
      timestamp: at,
      key: Buffer.from(key),
      value,
      headers,
    })),
  }
}

function accepted(event: Event, at?: number): Written {
  return { key: event.id, value: encodeEvent(1, event), ...(at === undefined ? {} : { at }) }
}

function claim(
  id: string,
  state: 'PENDING' | 'DONE' | 'DEAD',
  attempt = 1,
  generation = 0,
  at = NOW,
): Written {
  const value = encodeWire(2, CLAIM_SCHEMA.type, { state, generation, attempt, windowMs: DAY_MS })
  return { key: id, value, at }
}

function positions(offset: number): Written {
  return {
    key: POSITIONS_KEY,
    value: encodeWire(3, POSITIONS_SCHEMA.type, { inputs: { [EVENTS_TOPIC]: offset } }),
  }
}

function deadLetter(event: Event, at = NOW): Written {
  const headers = { [HEADER.reason]: 'fatal', [HEADER.code]: 'SP_HANDLER_FATAL', [HEADER.attempt]: '1' }
  return { ...accepted(event, at), headers }
}

describe('the index', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-index-'))
  let count = 0
  let file: string
  let database: DatabaseSync
  let writer: IndexWriter

  beforeEach(() => {
    file = join(folder, `${count++}.db`)
    database = openIndex(file)
    hold([EVENTS_TOPIC, CLAIMS, DEAD])
    writer = newWriter(database)
  })

  afterEach(() => database.close())
  after(() => rmSync(folder, { recursive: true }))

  function hold(topics: readonly string[], low = 0, high = 1_000): void {
    fitPositions(database, new Map(topics.map(topic => [topic, new Map([[0, { low, high }]])])))
  }

  function newWriter(of: DatabaseSync): IndexWriter {
    return new IndexWriter(of, { find: async id => SCHEMAS[id - 1] })
  }

  async function write(...batches: ReadBatch[]): Promise<void> {
    for (const one of batches) await writer.prepare(one)
    writer.write(batches)
  }

  it('does not go on without the events of a registry that denies what it had (Y4)', async () => {
    // Timeline: a batch comes while the registry denies everything; it has its schemas again; the batch comes again.
    // Proves: the event is in the index. It used to be passed over, as every later one was.
    let deniesAll = true
    const questions = {
      url: 'http://registry',
      schemaText: async (id: number) => (deniesAll ? undefined : SCHEMAS[id - 1]?.text),
      hasSubjects: async () => !deniesAll,
    }
    writer = new IndexWriter(database, new SchemaBook(questions, 0))
    const event = eventOf('crm', 0)
    const events = batch(EVENTS_TOPIC, 0, [accepted(event)])
    await assert.rejects(write(events), { code: 'SP_REGISTRY_UNREACHABLE', retryable: true })
    deniesAll = false
    await write(events)
    assert.equal(eventStory(database, event.id)?.id, event.id)
  })

  it('passes over an operation whose schema nobody knows, or that is not Avro (Y4)', async () => {
    const find = async (id: number) => {
      if (id === 8) throw new SyntaxError('not Avro')
      return undefined
    }
    writer = new IndexWriter(database, { find })
    hold([AUDIT_TOPIC])
    const foreign = [8, 9].map(id => ({
      key: 'p',
      value: encodeWire(id, EVENT_SCHEMA.type, eventOf('crm', 0)),
    }))
    await write(batch(AUDIT_TOPIC, 0, foreign))
  })

  function outcomes(): Record<string, string> {
    return Object.fromEntries(searchEvents(database, {}, 100).events.map(({ id, outcome }) => [id, outcome]))
  }

  it('I1: a transaction that fails in the middle leaves neither rows nor positions', async () => {
    const event = eventOf('crm', {})
    const batches = [
      batch(EVENTS_TOPIC, 0, [accepted(event)]),
      batch('sallyport.p.redrive', 0, [accepted(event)]),
    ]
    await assert.rejects(write(...batches), PositionsChanged)
    assert.deepEqual(outcomes(), {})
    assert.equal(storedPositions(database).get(EVENTS_TOPIC)?.get(0), 0)
  })

  it('Y1: two writers of one file write each record once', async () => {
    const event = eventOf('crm', {})
    const same = batch(EVENTS_TOPIC, 0, [accepted(event), accepted(event)])
    await write(same)
    const second = openIndex(file)
    const another = newWriter(second)
    await another.prepare(same)
    another.write([same])
    second.close()
    assert.equal(eventStory(database, event.id)?.deliveries, 2)
  })

  it('Y2: a batch behind what is stored is refused, for the file was emptied meanwhile', async () => {
    const late = batch(EVENTS_TOPIC, 5, [accepted(eventOf('crm', {}))])
    await assert.rejects(write(late), PositionsChanged)
  })

  it('Y3: an event’s records come in any order, and the rows are the same', async () => {
    const event = eventOf('crm', {})
    const all = [
      batch(EVENTS_TOPIC, 0, [accepted(event)]),
      batch(CLAIMS, 0, [claim(event.id, 'PENDING', 2), claim(event.id, 'DEAD', 2), positions(1)]),
      batch(DEAD, 0, [deadLetter(event)]),
    ]
    const stories = []
    for (const order of [
      [0, 1, 2],
      [1, 0, 2],
      [2, 1, 0],
      [1, 2, 0],
    ]) {
      database.close()
      database = openIndex(join(folder, `order-${order.join('')}.db`))
      hold([EVENTS_TOPIC, CLAIMS, DEAD])
      writer = newWriter(database)
      for (const i of order) await write(all[i] as ReadBatch)
      const { claims, ...story } = eventStory(database, event.id) ?? assert.fail()
      assert.equal(claims[0]?.outcome, 'dead')
      stories.push(story)
    }
    for (const story of stories) assert.deepEqual(story, stories[0])
    assert.deepEqual([stories[0]?.outcome, stories[0]?.deliveries], ['dead', 1])
  })

  it('Y4: what cannot be read is passed over', async () => {
    const event = eventOf('crm', {})
    const garbage = [
      Buffer.from('x'),
      Buffer.from([0, 0, 0, 0, 9, 1]),
      Buffer.from([0, 0, 0, 0, 1, 255]),
      null,
    ]
    await write(
      batch(EVENTS_TOPIC, 0, [...garbage.map(value => ({ key: 'crm/x', value })), accepted(event)]),
      batch(
        CLAIMS,
        0,
        garbage.flatMap(value => [
          { key: event.id, value },
          { key: POSITIONS_KEY, value },
        ]),
      ),
      batch(
        DEAD,
        0,
        garbage.map(value => ({ key: 'crm/x', value })),
      ),
    )
    assert.deepEqual(outcomes(), { [event.id]: 'waiting' })
  })

  it('Y5: a letter of a record that was misplaced or unreadable makes the event of its key not dead', async () => {
    // Setup: two events are processed. Timeline: a misplaced copy of the first one, and garbage under the key of the
    // second one, come into the dead letter; an operator sends both round again. Proves: the events stay processed, in
    // whatever order the topics are read; the story of the first tells of its letter, that of the second of nothing.
    const [misplaced, forged] = [eventOf('crm', { n: 1 }), eventOf('crm', { n: 2 })]
    const unread = (code: string) => ({ [HEADER.reason]: 'poison', [HEADER.code]: code })
    const letters = [
      { ...accepted(misplaced, NOW + 1), headers: unread('SP_MISPLACED') },
      { key: forged.id, value: Buffer.from('garbage'), headers: unread('SP_POISON'), at: NOW + 1 },
    ]
    const sent = letters.map(letter => ({
      ...letter,
      headers: { [HEADER.reason]: 'poison' },
      at: NOW + 2,
    }))
    hold([EVENTS_TOPIC, CLAIMS, DEAD, 'sallyport.p.redrive'])
    const batches = [
      batch(EVENTS_TOPIC, 0, [accepted(misplaced), accepted(forged)]),
      batch(CLAIMS, 0, [claim(misplaced.id, 'DONE'), claim(forged.id, 'DONE'), positions(2)]),
      batch(DEAD, 0, letters),
      batch('sallyport.p.redrive', 0, sent),
    ]
    await write(...batches)
    const processed = { [misplaced.id]: 'processed', [forged.id]: 'processed' }
    assert.deepEqual(outcomes(), processed)
    const steps = (id: string) => eventStory(database, id)?.steps.map(({ kind }) => kind)
    assert.deepEqual([steps(misplaced.id), steps(forged.id)], [['dead letter', 'redrive'], []])
    database.close()
    file = join(folder, `${count++}.db`)
    database = openIndex(file)
    hold([EVENTS_TOPIC, CLAIMS, DEAD, 'sallyport.p.redrive'])
    writer = newWriter(database)
    await write(...batches.reverse())
    assert.deepEqual(outcomes(), processed)
  })

  it('an event is waiting until its processors have passed it, and dead until a redrive was processed', async () => {
    const [a, b] = [eventOf('crm', {}), eventOf('crm', {})]
    await write(batch(EVENTS_TOPIC, 0, [accepted(a), accepted(b)]), batch(CLAIMS, 0, [positions(0)]))
    assert.deepEqual(outcomes(), { [a.id]: 'waiting', [b.id]: 'waiting' })
    await write(batch(CLAIMS, 1, [claim(a.id, 'DEAD'), positions(2)]))
    assert.deepEqual(outcomes(), { [a.id]: 'dead', [b.id]: 'passed' })
    await write(batch(CLAIMS, 3, [claim(a.id, 'DONE', 1, 7, NOW + 1)]))
    assert.deepEqual(outcomes(), { [a.id]: 'processed', [b.id]: 'passed' })
  })

  it('of two processors the first that takes an event makes it processed, and one that is behind keeps it from being passed', async () => {
    const other = 'sallyport.q.claims'
    hold([EVENTS_TOPIC, CLAIMS, DEAD, other])
    const [taken, untaken] = [eventOf('crm', {}), eventOf('crm', {})]
    const by = (outcome: string, rest: string) => ({ [taken.id]: outcome, [untaken.id]: rest })
    await write(
      batch(EVENTS_TOPIC, 0, [accepted(taken), accepted(untaken)]),
      batch(CLAIMS, 0, [claim(taken.id, 'DONE'), positions(2)]),
    )
    assert.deepEqual(outcomes(), by('processed', 'waiting'))
    await write(batch(other, 0, [claim(taken.id, 'PENDING', 2), positions(1)]))
    assert.deepEqual(outcomes(), by('retrying', 'waiting'))
    await write(batch(other, 2, [claim(taken.id, 'DONE', 2, 0, NOW + 1), positions(2)]))
    assert.deepEqual(outcomes(), by('processed', 'passed'))
  })

  it('a claim that is only written again does not change when it was settled', async () => {
    const event = eventOf('crm', {})
    await write(batch(EVENTS_TOPIC, 0, [accepted(event)]))
    await write(
      batch(CLAIMS, 0, [claim(event.id, 'PENDING', 2), claim(event.id, 'PENDING', 2, 0, NOW + 5_000)]),
    )
    assert.equal(eventStory(database, event.id)?.claims[0]?.at, NOW)
  })

  it('what the topics no longer keep expires, dead events with their dead letters', async () => {
    const [old, dead, young] = [eventOf('crm', { w: 'oldest' }), eventOf('crm', {}), eventOf('crm', {})]
    const at = NOW - 10 * DAY_MS
    await write(
      batch(EVENTS_TOPIC, 0, [accepted(old, at), accepted(dead, at), accepted(young)]),
      batch(CLAIMS, 0, [claim(old.id, 'DONE', 1, 0, at), claim(dead.id, 'DEAD', 1, 0, at)]),
    )
    const retention = { eventsMs: 7 * DAY_MS, deadLettersMs: 30 * DAY_MS, auditMs: 365 * DAY_MS }
    assert.equal(expire(database, retention, NOW), 1)
    assert.deepEqual(Object.keys(outcomes()).sort(), [dead.id, young.id].sort())
    assert.deepEqual(searchEvents(database, { text: 'oldest' }, 10).events, [])
    assert.equal(expire(database, retention, NOW + 21 * DAY_MS), 2)
    for (const table of ['events', 'bodies', 'claims', 'steps']) {
      assert.deepEqual(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.n, 0, table)
    }
  })

  it('an event stays as long as its last dead letter, also when it was redriven and processed', async () => {
    const [redriven, late, plain] = [eventOf('crm', {}), eventOf('crm', {}), eventOf('crm', {})]
    const day = (n: number) => NOW + n * DAY_MS
    await write(
      // One letter comes before its event, the other behind it (Y3).
      batch(DEAD, 0, [deadLetter(redriven, day(-9))]),
      batch(EVENTS_TOPIC, 0, [
        accepted(redriven, day(-10)),
        accepted(late, day(-35)),
        accepted(plain, day(-10)),
      ]),
      batch(DEAD, 1, [deadLetter(late, day(-8)), deadLetter(late, day(-20))]),
      batch(CLAIMS, 0, [claim(redriven.id, 'DONE', 1, 7, day(-1)), claim(plain.id, 'DONE', 1, 0, day(-10))]),
    )
    const retention = { eventsMs: 7 * DAY_MS, deadLettersMs: 30 * DAY_MS, auditMs: 365 * DAY_MS }
    assert.equal(expire(database, retention, NOW), 1)
    assert.deepEqual(outcomes(), { [redriven.id]: 'processed', [late.id]: 'dead' })
    assert.deepEqual(
      eventStory(database, redriven.id)?.steps.map(({ kind }) => kind),
      ['dead letter'],
    )
    assert.equal(expire(database, retention, day(21) + 1), 1)
    assert.deepEqual(outcomes(), { [late.id]: 'dead' })
    assert.equal(expire(database, retention, day(22) + 1), 1)
  })

  it('a dead letter brings its event back, although the topic of events no longer has it', async () => {
    const event = eventOf('crm', { note: 'kept' })
    await write(batch(DEAD, 0, [deadLetter(event)]))
    const [found] = searchEvents(database, { text: 'kept', outcome: 'dead' }, 10).events
    assert.equal(found?.id, event.id)
    assert.equal(eventStory(database, event.id)?.record, null)
  })

  it('begins where a topic begins by now, and anew where topics were made anew (I2)', async () => {
    const event = eventOf('crm', {})
    await write(batch(EVENTS_TOPIC, 0, [accepted(event)]))
    hold([EVENTS_TOPIC, CLAIMS, DEAD], 500)
    assert.equal(storedPositions(database).get(EVENTS_TOPIC)?.get(0), 500)
    assert.equal(
      recordsBehind(database, new Map([[EVENTS_TOPIC, new Map([[0, { low: 500, high: 510 }]])]])),
      10,
    )
    hold([EVENTS_TOPIC, CLAIMS, DEAD], 0, 10)
    assert.deepEqual([outcomes(), storedPositions(database).get(EVENTS_TOPIC)?.get(0)], [{}, 0])
  })

  it('events are listed by the time when Kafka took them, and those of one millisecond all have their place (I3)', async () => {
    const events = Array.from({ length: 3_000 }, () => eventOf('crm', {}))
    await write(
      batch(
        EVENTS_TOPIC,
        0,
        events.map(event => accepted(event)),
      ),
    )
    const [earlier, later] = [eventOf('crm', {}), eventOf('crm', {})]
    await write(batch(EVENTS_TOPIC, events.length, [accepted(later, NOW + 1), accepted(earlier, NOW - 1)]))
    const listed = searchEvents(database, {}, 5_000).events
    assert.equal(listed.length, 3_002)
    assert.deepEqual([listed[0]?.id, listed.at(-1)?.id], [later.id, earlier.id])
  })

  it('holds bodies, so that only its owner may read the file', () => {
    assert.equal(statSync(file).mode & 0o777, 0o600)
  })

  it('a search with FTS5’s own words and signs finds those, and is no error', async () => {
    const event = eventOf('crm', { note: 'NEAR AND "quoted" OR NOT body:x* (y)' })
    await write(batch(EVENTS_TOPIC, 0, [accepted(event)]))
    for (const text of ['NEAR AND', '"quoted" OR NOT', 'body:x', '(y)', "x' OR 1=1", 'agent_', 'quot*']) {
      const { events } = searchEvents(database, { text }, 10)
      assert.equal(events.length, /1=1|agent/.test(text) ? 0 : 1, text)
    }
  })

  it('an odd file is an error that says what to do', () => {
    const odd = join(folder, 'odd.db')
    writeFileSync(odd, 'no database, '.repeat(100))
    assert.throws(() => openIndex(odd), { code: 'SP_INDEX', message: /odd\.db cannot.*or remove it/ })
  })

  it('a folder that cannot be written is an error that says which setting names another', () => {
    const file = join(folder, 'file')
    writeFileSync(file, '')
    const wanted = { code: 'SP_INDEX', message: /SALLYPORT_HOME name a folder that you can write to$/ }
    assert.throws(() => openIndex(join(file, 'index', 'index.db')), wanted)
    // Root, as which tests may run, is forbidden nothing.
    const readonlyFolder = { code: 'ERR_SQLITE_ERROR', errcode: 8 | (6 << 8) }
    for (const facts of [{ code: 'EROFS' }, { code: 'EACCES' }, { code: 'EPERM' }, readonlyFolder]) {
      assert.match(indexError(file, Object.assign(new Error('no'), facts)).message, wanted.message)
    }
  })
})

describe('the text of a body', () => {
  it('is what its sender meant, whatever the encoding hides', () => {
    assert.equal(
      bodyText(Buffer.from('{"a":"caf\\u00e9\\nau lait"}'), 'application/json'),
      '{"a":"café au lait"}',
    )
    assert.equal(
      bodyText(Buffer.from('text=a+b%20caf%C3%A9%ZZ'), 'application/x-www-form-urlencoded'),
      'text=a b café%ZZ',
    )
    assert.equal(bodyText(Buffer.from([1, 0, 2]), null), undefined)
  })
})
