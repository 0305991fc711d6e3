import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Producer } from '@platformatic/kafka'
import { parseHistory } from '@sallyport/core/attempt'
import { TaskProducer } from '@sallyport/core/kafka/task-producer'
import { claimsBytes, claimsHeld } from '@sallyport/core/metrics'
import { partitionOf } from '@sallyport/core/partition'
import { type Event, Fatal, type Handler, RetryLater } from '@sallyport/processor'
import { eventOf, eventOn, type RawRecord, Topics, TRACEPARENT } from '../support/events.ts'
import {
  agentEvent,
  PARTITIONS,
  type TestProcessor,
  testProcessor,
  testSettings,
} from '../support/processor.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { waitFor } from '../support/wait-for.ts'

/** What a claim takes in memory at least. */
const CLAIM_BYTES = 28

describe('processor on a real broker', function () {
  this.timeout(60_000)
  let connection: { brokers: readonly string[]; registryUrl: string }
  let topics: Topics
  let processor: TestProcessor | undefined

  before(async () => {
    connection = await sharedCluster()
    topics = new Topics(connection, PARTITIONS)
  })
  after(() => topics.close())
  afterEach(async () => {
    await processor?.stop()
    processor = undefined
  })

  function body(event: Event): Record<string, unknown> {
    return JSON.parse(event.body.toString())
  }

  /** A gauge's value over all partitions of the processor. */
  async function sumOf(gauge: typeof claimsHeld): Promise<number> {
    const { values } = await gauge.get()
    const own = values.filter(({ labels }) => labels.processor === processor?.config.name)
    return own.reduce((sum, { value }) => sum + value, 0)
  }

  async function deadLetters(of: TestProcessor, enough: number): Promise<RawRecord[]> {
    return await topics.read(
      of.config.topics.deadLetter,
      record => record.key?.startsWith(`${of.source}/`) === true,
      enough,
    )
  }

  it('an event that arrives several times takes effect once', async () => {
    processor = testProcessor(connection, (event, { attempt, emit }) =>
      emit(processor?.output ?? '', agentEvent(event.id, attempt)),
    )
    await processor.start()
    const events = Array.from({ length: 200 }, (_, i) => eventOf(processor?.source ?? '', { i }))
    await topics.append(events)
    await topics.append(events.slice(0, 100))
    await topics.append(events.slice(50, 150))
    await topics.read(processor.output, () => true, 200)
    await sleep(500)
    const outputs = await topics.readAll(processor.output)
    assert.deepEqual(outputs.map(({ key }) => key).sort(), events.map(({ id }) => id).sort())
    assert.equal(await sumOf(claimsHeld), events.length)
    assert.ok((await sumOf(claimsBytes)) >= events.length * CLAIM_BYTES)
  })

  it('a failing event goes through every tier, no sooner than its delay, and then to the dead letter with its history', async () => {
    const attempts: number[] = []
    processor = testProcessor(
      connection,
      async (_event, { attempt }) => {
        attempts.push(attempt)
        await sleep(20 * attempt)
        throw new Error(`attempt ${attempt} failed`)
      },
      { version: '7' },
    )
    await processor.start()
    const event = eventOf(processor.source, { will: 'fail' })
    const appendedAt = Date.now()
    await topics.append([event])
    const [dead] = await deadLetters(processor, 1)
    assert.ok(dead)
    assert.deepEqual(attempts, [1, 2, 3])
    assert.equal(dead.key, event.id)
    assert.equal(dead.headers['sallyport-reason'], 'exhausted')
    assert.equal(dead.headers['sallyport-code'], 'SP_HANDLER_FAILED')
    assert.equal(dead.headers['sallyport-message'], 'attempt 3 failed')
    assert.equal(dead.headers['sallyport-attempt'], '3')
    assert.equal(dead.headers['sallyport-processor'], `${processor.config.name}@7`)
    assert.equal(dead.headers.traceparent?.slice(3, 35), TRACEPARENT.slice(3, 35))
    const [accepted] = await topics.read('sallyport.events', ({ key }) => key === event.id, 1)
    const origin = `sallyport.events/${accepted?.partition}/${accepted?.offset}`
    assert.equal(dead.headers['sallyport-origin'], origin)
    const history = parseHistory(dead.headers['sallyport-history'])
    assert.deepEqual(
      history.map(({ attempt, code, message }) => [attempt, code, message]),
      [
        [1, 'SP_HANDLER_FAILED', 'attempt 1 failed'],
        [2, 'SP_HANDLER_FAILED', 'attempt 2 failed'],
        [3, 'SP_HANDLER_FAILED', 'attempt 3 failed'],
      ],
    )
    for (const { attempt, durationMs } of history) {
      // A timer may be early by a millisecond.
      assert.ok(durationMs >= 20 * attempt - 2, `attempt ${attempt} took ${durationMs} ms`)
    }
    const failedAt = history.map(({ startedAt, durationMs }) =>
      new Date(startedAt + durationMs).toISOString(),
    )
    assert.equal(dead.headers['sallyport-first-failed-at'], failedAt[0])
    assert.equal(dead.headers['sallyport-last-failed-at'], failedAt[2])
    const [first, second, third] = history.map(({ startedAt }) => startedAt) as [number, number, number]
    assert.ok(first >= appendedAt && third <= Date.now())
    assert.ok(second - first >= 300, `second attempt after ${second - first} ms`)
    assert.ok(third - second >= 600, `third attempt after ${third - second} ms`)
  })

  it('retries and dead letters carry the bytes, attributes and trace of the accepted event (X3)', async () => {
    processor = testProcessor(connection, () => {
      throw new Error('no')
    })
    await processor.start()
    const event = eventOf(processor.source, { keep: 'me' })
    await topics.append([event])
    const [dead] = await deadLetters(processor, 1)
    const isIt = ({ key }: RawRecord) => key === event.id
    const [accepted] = await topics.read('sallyport.events', isIt, 1)
    const [retried] = await topics.read(processor.config.topics.retry[0] as string, isIt, 1)
    for (const record of [retried, dead]) {
      assert.deepEqual(record?.value, accepted?.value)
      assert.equal(record?.headers.ce_id, event.id)
      assert.equal(record?.headers.traceparent?.slice(3, 35), TRACEPARENT.slice(3, 35))
    }
  })

  it('an event that succeeds on a retry takes effect once, and its dead letter stays empty', async () => {
    processor = testProcessor(connection, (event, { attempt, emit }) => {
      if (attempt < 3) throw new Error('not yet')
      emit(processor?.output ?? '', agentEvent(event.id, attempt))
    })
    await processor.start()
    const events = Array.from({ length: 15 }, (_, i) => eventOf(processor?.source ?? '', { i }))
    await topics.append(events)
    await topics.read(processor.output, () => true, 15)
    await sleep(500)
    const outputs = await topics.readAll(processor.output)
    assert.equal(outputs.length, 15)
    const decoded = await topics.decode(outputs[0]?.value as Buffer)
    assert.equal(decoded.attempt, 3)
    const mine = ({ key }: RawRecord) => key?.startsWith(`${processor?.source}/`) === true
    assert.equal((await topics.readAll(processor.config.topics.deadLetter, mine)).length, 0)
  })

  it('Fatal skips the retries', async () => {
    processor = testProcessor(connection, () => {
      throw new Fatal('never')
    })
    await processor.start()
    await topics.append([eventOf(processor.source, {})])
    const [dead] = await deadLetters(processor, 1)
    assert.equal(dead?.headers['sallyport-reason'], 'fatal')
    assert.equal(parseHistory(dead?.headers['sallyport-history']).length, 1)
  })

  it('RetryLater picks the tier that is long enough', async () => {
    processor = testProcessor(connection, (event, { attempt, emit }) => {
      if (attempt === 1) throw new RetryLater('500ms')
      emit(processor?.output ?? '', agentEvent(event.id, attempt))
    })
    await processor.start()
    const event = eventOf(processor.source, {})
    await topics.append([event])
    await topics.read(processor.output, () => true, 1)
    const isIt = ({ key }: RawRecord) => key === event.id
    assert.equal((await topics.readAll(processor.config.topics.retry[1] as string, isIt)).length, 1)
    assert.equal((await topics.readAll(processor.config.topics.retry[0] as string, isIt)).length, 0)
  })

  it('a handler past its timeout fails; what it does afterwards changes nothing', async () => {
    let late: unknown
    processor = testProcessor(
      connection,
      async (event, { attempt, emit }) => {
        if (attempt === 1) {
          await sleep(600)
          try {
            emit(processor?.output ?? '', agentEvent(event.id, attempt))
          } catch (error) {
            late = error
          }
          return
        }
        emit(processor?.output ?? '', agentEvent(event.id, attempt))
      },
      { timeout: '200ms' },
    )
    await processor.start()
    await topics.append([eventOf(processor.source, {})])
    await topics.read(processor.output, () => true, 1)
    await sleep(600)
    const outputs = await topics.readAll(processor.output)
    assert.equal(outputs.length, 1)
    assert.equal((await topics.decode(outputs[0]?.value as Buffer)).attempt, 2)
    assert.match(String(late), /SP_EMIT/)
  })

  it('a value that does not fit its output’s schema is a dead letter, and nothing of the attempt appears', async () => {
    processor = testProcessor(connection, (event, { attempt, emit }) => {
      emit(processor?.output ?? '', agentEvent(event.id, attempt))
      emit(processor?.output ?? '', { nonsense: true })
    })
    await processor.start()
    await topics.append([eventOf(processor.source, {})])
    const [dead] = await deadLetters(processor, 1)
    assert.equal(dead?.headers['sallyport-code'], 'SP_EMIT')
    assert.equal((await topics.readAll(processor.output)).length, 0)
  })

  it('what is emitted lies on the partition of its key, which is the task’s own unless the handler names one, in one transaction with the claim (X1)', async () => {
    const emitting = testProcessor(connection, (event, { attempt, emit }) => {
      emit(emitting.output, agentEvent(event.id, attempt))
      emit(emitting.output, agentEvent(event.id, attempt), { key: String(body(event).customer) })
    })
    processor = emitting
    const transactions: { claimed: string[]; places: string[] }[] = []
    const { transact } = TaskProducer.prototype
    TaskProducer.prototype.transact = async function (claims, others, positions) {
      transactions.push({
        claimed: claims.records.map(({ key }) => String(key)),
        // Others' poison may come to the dead letter with them.
        places: others
          .filter(({ topic }) => topic === emitting.output)
          .map(({ topic, partition }) => `${topic}/${partition}`),
      })
      return await transact.call(this, claims, others, positions)
    }
    try {
      await emitting.start()
      // An event on each partition, whose customer belongs to the next one.
      const events = Array.from({ length: PARTITIONS }, (_, partition) => {
        const customer = eventOn((partition + 1) % PARTITIONS, PARTITIONS, 'customer', {}).id
        return eventOn(partition, PARTITIONS, emitting.source, { customer })
      })
      await topics.append(events)
      await topics.read(emitting.output, () => true, 2 * PARTITIONS)
      const outputs = await topics.readAll(emitting.output)
      const expected = events.flatMap((event, partition) => [
        [partition, event.id],
        [(partition + 1) % PARTITIONS, body(event).customer],
      ])
      assert.deepEqual(outputs.map(({ partition, key }) => [partition, key]).sort(), expected.sort())
      for (const [partition, { id }] of events.entries()) {
        const places = [partition, (partition + 1) % PARTITIONS].map(p => `${emitting.output}/${p}`)
        const its = transactions.filter(({ claimed }) => claimed.includes(id))
        assert.deepEqual(
          its.map(transaction => transaction.places),
          [places],
        )
      }
    } finally {
      TaskProducer.prototype.transact = transact
    }
  })

  it('handlers run concurrently: slow ones do not hold up the others', async () => {
    processor = testProcessor(connection, async (event, { attempt, emit, signal }) => {
      if (body(event).slow) await sleep(4_000, undefined, { signal })
      emit(processor?.output ?? '', agentEvent(event.id, attempt))
    })
    await processor.start()
    const slow = Array.from({ length: 20 }, () => eventOf(processor?.source ?? '', { slow: true }))
    const fast = Array.from({ length: 20 }, () => eventOf(processor?.source ?? '', { slow: false }))
    await topics.append([...slow, ...fast])
    const first = await topics.read(processor.output, () => true, 20)
    const fastIds = new Set(fast.map(({ id }) => id))
    assert.ok(first.slice(0, 20).every(({ key }) => fastIds.has(key ?? '')))
    assert.equal((await topics.read(processor.output, () => true, 40)).length, 40)
  })

  it('what handlers have emitted holds up further ones, of a task that runs one already (K2)', async () => {
    // Timeline: a handler on partition 0 emits more than all may hold, and goes on; an event comes behind its own, and
    // then one on partition 1, which runs nothing and may begin. When that is done, the one behind has not begun.
    const begun: string[] = []
    const emitted = Promise.withResolvers<void>()
    const hold = Promise.withResolvers<void>()
    const settings = testSettings()
    const processing = { ...settings.processing, attemptBytesMax: 65_536 }
    const handler: Handler = async (event, { attempt, emit }) => {
      begun.push(event.id)
      emit(processor?.output ?? '', { ...agentEvent(event.id, attempt), status: 'x'.repeat(100_000) })
      emitted.resolve()
      if (event.id === first.id) await hold.promise
    }
    processor = testProcessor(connection, handler, {}, { ...settings, processing })
    const { source, output } = processor
    const [first, behind, other] = [0, 0, 1].map(at => eventOn(at, PARTITIONS, source, {})) as [
      Event,
      Event,
      Event,
    ]
    await processor.start()
    await topics.append([first])
    await emitted.promise
    await topics.append([behind])
    await topics.append([other])
    await topics.read(output, ({ key }) => key === other.id, 1)
    assert.deepEqual(begun, [first.id, other.id])
    hold.resolve()
    await topics.read(output, () => true, 3)
    assert.deepEqual(begun, [first.id, other.id, behind.id])
  })

  it('events of other sources are passed over', async () => {
    let seen = 0
    processor = testProcessor(connection, () => {
      seen++
    })
    await processor.start()
    await topics.append([eventOf('somebody-else', {}), eventOf(processor.source, {})])
    await waitFor(() => seen === 1)
    await sleep(300)
    assert.equal(seen, 1)
  })

  it('a redriven event passes once more; once it has taken effect, only a replay of a greater generation does', async () => {
    let fails = true
    processor = testProcessor(connection, (event, { attempt, emit }) => {
      if (fails) throw new Fatal('broken')
      emit(processor?.output ?? '', agentEvent(event.id, attempt))
    })
    await processor.start()
    const event = eventOf(processor.source, {})
    await topics.append([event])
    await deadLetters(processor, 1)
    fails = false
    const lane = processor.config.topics.redrive
    await topics.append([event, event], lane, { 'sallyport-generation': '5' })
    await topics.append([event], lane, { 'sallyport-generation': '5' })
    await topics.append([event], lane, { 'sallyport-generation': '4' })
    await topics.read(processor.output, () => true, 1)
    await sleep(500)
    assert.equal((await topics.readAll(processor.output)).length, 1)
    await topics.append([event], lane, { 'sallyport-generation': '6' })
    await topics.append([event], lane, { 'sallyport-generation': '7', 'sallyport-replayed': 'true' })
    await topics.read(processor.output, ({ key }) => key === event.id, 2)
    assert.equal((await topics.readAll(processor.output)).length, 2)
  })

  describe('a poison record goes to the dead letter with its original bytes, and what follows it is processed', () => {
    const garbage = randomBytes(40)
    const unknownSchema = Buffer.concat([Buffer.from([0, 0x7f, 0xff, 0xff, 0xff]), randomBytes(20)])
    const cases: [string, Buffer | null, Buffer | null][] = [
      ['garbage', Buffer.from('k'), garbage],
      ['no key', null, garbage],
      ['no value', Buffer.from('k'), null],
      ['an empty value', Buffer.from('k'), Buffer.alloc(0)],
      ['an unknown schema id', Buffer.from('k'), unknownSchema],
    ]
    for (const [what, key, value] of cases) {
      it(what, async () => {
        processor = testProcessor(connection, (event, { attempt, emit }) =>
          emit(processor?.output ?? '', agentEvent(event.id, attempt)),
        )
        await processor.start()
        const mark = randomBytes(8).toString('hex')
        await topics.appendRaw('sallyport.events', [{ partition: 1, key, value, headers: { mark } }])
        const after = eventOf(processor.source, {})
        await topics.append([after])
        const isIt = (record: RawRecord) => record.headers.mark === mark
        const [dead] = await topics.read(processor.config.topics.deadLetter, isIt, 1)
        assert.deepEqual(dead?.value ?? null, value)
        assert.equal(dead?.key, key === null ? null : String(key))
        assert.equal(dead?.headers['sallyport-reason'], 'poison')
        await topics.read(processor.output, record => record.key === after.id, 1)
        assert.equal((await topics.readAll(processor.config.topics.deadLetter, isIt)).length, 1)
      })
    }

    it('in a batch that its foreign producer compressed', async () => {
      // kafkajs reads no zstd: the topics make the broker unpack it.
      processor = testProcessor(connection, (event, { attempt, emit }) =>
        emit(processor?.output ?? '', agentEvent(event.id, attempt)),
      )
      await processor.start()
      const value = Buffer.alloc(200, 'z')
      const foreign = new Producer({ clientId: 'foreign', bootstrapBrokers: [...connection.brokers] })
      const key = Buffer.from(randomBytes(8).toString('hex'))
      const messages = [{ topic: 'sallyport.events', partition: 2, key, value }]
      await foreign.send({ messages, compression: 'zstd', acks: -1 })
      await foreign.close()
      const isIt = (record: RawRecord) => record.key === String(key)
      const [dead] = await topics.read(processor.config.topics.deadLetter, isIt, 1)
      assert.deepEqual(dead?.value, value)
    })

    it('a genuine value under another key, or on a partition its key does not belong to', async () => {
      processor = testProcessor(connection, (event, { attempt, emit }) =>
        emit(processor?.output ?? '', agentEvent(event.id, attempt)),
      )
      await processor.start()
      const event = eventOf(processor.source, {})
      await topics.append([event])
      const [genuine] = await topics.read('sallyport.events', ({ key }) => key === event.id, 1)
      const mark = randomBytes(8).toString('hex')
      await topics.appendRaw('sallyport.events', [
        {
          partition: genuine?.partition as number,
          key: 'another/key',
          value: genuine?.value ?? null,
          headers: { mark },
        },
        {
          partition: ((genuine?.partition as number) + 1) % PARTITIONS,
          key: event.id,
          value: genuine?.value ?? null,
          headers: { mark },
        },
      ])
      const isIt = (record: RawRecord) => record.headers.mark === mark
      const dead = await topics.read(processor.config.topics.deadLetter, isIt, 2)
      assert.deepEqual(dead.map(({ headers }) => headers['sallyport-code']).sort(), [
        'SP_MISPLACED',
        'SP_POISON',
      ])
      assert.equal((await topics.readAll(processor.output)).length, 1)
    })
  })

  it('a processor that stops and starts again goes on where it was, and repeats nothing', async () => {
    const first = testProcessor(connection, (event, { attempt, emit }) =>
      emit(first.output, agentEvent(event.id, attempt)),
    )
    processor = first
    const running = await first.start()
    const before = Array.from({ length: 100 }, () => eventOf(first.source, {}))
    await topics.append(before)
    await topics.read(first.output, () => true, 100)
    await running.drain(2_000)
    const while_away = Array.from({ length: 100 }, () => eventOf(first.source, {}))
    await topics.append([...while_away, ...before.slice(0, 50)])
    await first.start()
    await topics.read(first.output, () => true, 200)
    await sleep(500)
    const outputs = await topics.readAll(first.output)
    assert.deepEqual(
      outputs.map(({ key }) => key).sort(),
      [...before, ...while_away].map(({ id }) => id).sort(),
    )
  })

  it('a handler whose partition stays is not disturbed by a member that joins (M1)', async () => {
    // Setup: one member with all partitions, a handler that takes 4 s on each. Timeline: another member joins and gets
    // half of them. Proves: tasks whose partitions stay go on; only what moved is attempted again elsewhere.
    const attempts = new Map<string, number>()
    const shared = testProcessor(connection, async (event, { attempt, emit, signal }) => {
      attempts.set(event.id, (attempts.get(event.id) ?? 0) + 1)
      await sleep(4_000, undefined, { signal })
      emit(shared.output, agentEvent(event.id, attempt))
    })
    processor = shared
    await shared.start()
    const events = Array.from({ length: 40 }, () => eventOf(shared.source, {}))
    await topics.append(events)
    await waitFor(() => attempts.size === events.length)
    await shared.start()
    await topics.read(shared.output, () => true, events.length)
    const partitions = Map.groupBy(events, ({ id }) => partitionOf(Buffer.from(id), PARTITIONS))
    const undisturbed = [...partitions.values()].filter(list =>
      list.every(({ id }) => attempts.get(id) === 1),
    )
    assert.equal(undisturbed.length, PARTITIONS / 2)
    assert.equal((await topics.readAll(shared.output)).length, events.length)
  })

  it('handlers that take longer than the session lose no partition, and hold up no other one', async () => {
    // Setup: a session of 6 s, handlers that take 9 s on one partition. Timeline: they have all slots that a partition may
    // have; events of another partition come. Proves: heartbeats go on, those events are processed meanwhile, and each
    // event is attempted once.
    const attempts: string[] = []
    const slow = testProcessor(
      connection,
      async (event, { attempt, emit, signal }) => {
        attempts.push(event.id)
        if (body(event).slow) await sleep(9_000, undefined, { signal })
        emit(slow.output, agentEvent(event.id, attempt))
      },
      { concurrency: PARTITIONS },
    )
    processor = slow
    const someEvents = (partition: number, isSlow: boolean) =>
      Array.from({ length: 5 }, () => eventOn(partition, PARTITIONS, slow.source, { slow: isSlow }))
    await slow.start()
    const [held, others] = [someEvents(0, true).slice(0, PARTITIONS - 1), someEvents(1, false)]
    await topics.append(held)
    await waitFor(() => attempts.length > 0)
    await topics.append(others)
    await topics.read(slow.output, () => true, others.length + held.length)
    const outputs = await topics.readAll(slow.output)
    const ended = outputs.sort((a, b) => a.timestamp - b.timestamp).map(({ key }) => key)
    assert.deepEqual(ended.slice().sort(), [...held, ...others].map(({ id }) => id).sort())
    assert.deepEqual(attempts.slice().sort(), ended.slice().sort())
    const first = ended.slice(0, others.length)
    assert.deepEqual(first.sort(), others.map(({ id }) => id).sort())
    assert.ok(!slow.lines.some(line => line.includes('left the group')))
  })

  it('members that join and leave hand partitions over without a duplicate or a loss', async () => {
    const shared = testProcessor(connection, async (event, { attempt, emit, signal }) => {
      await sleep(20, undefined, { signal })
      emit(shared.output, agentEvent(event.id, attempt))
    })
    processor = shared
    const first = await shared.start()
    const events = Array.from({ length: 600 }, () => eventOf(shared.source, {}))
    await topics.append(events.slice(0, 300))
    await shared.start()
    await topics.append(events.slice(300))
    await first.drain(2_000)
    await topics.read(shared.output, () => true, 600)
    await sleep(500)
    const outputs = await topics.readAll(shared.output)
    assert.deepEqual(outputs.map(({ key }) => key).sort(), events.map(({ id }) => id).sort())
  })
})
