/**
 * Races of a processor's stay in its group: it is fenced, its commits go astray, its handlers run on. Each test states
 * its setup, its timeline, and what it proves; the numbers are the invariants at the top of task.ts, membership.ts and
 * settle.ts.
 */
import assert from 'node:assert/strict'
import { encodeWire } from '@sallyport/core/codec'
import type { Event } from '@sallyport/core/event'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { TaskProducer } from '@sallyport/core/kafka/task-producer'
import { ProducerCluster, UnansweredError } from '@sallyport/core/kafka/transactions/producer-cluster'
import { TransactionalProducer } from '@sallyport/core/kafka/transactions/transactional-producer'
import { TransactionError } from '@sallyport/core/kafka/transactions/verdict'
import { lagRecords, partitionsHeldBack } from '@sallyport/core/metrics'
import { partitionOf } from '@sallyport/core/partition'
import type { Settings } from '@sallyport/core/settings'
import type { Handler } from '@sallyport/processor'
import { CLAIM_SCHEMA } from '@sallyport/processor/config'
import { Membership } from '@sallyport/processor/membership'
import { Restore } from '@sallyport/processor/restore'
import type kafkajs from 'kafkajs'
import { eventOf, Topics } from '../support/events.ts'
import {
  agentEvent,
  PARTITIONS,
  type TestProcessor,
  testProcessor,
  testSettings,
} from '../support/processor.ts'
import { rawKafka, rawTransactionalProducer } from '../support/raw-kafka.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

describe('races of a stay in the group', function () {
  this.timeout(60_000)
  let connection: { brokers: readonly string[]; registryUrl: string }
  let kafka: kafkajs.Kafka
  let topics: Topics
  let processor: TestProcessor
  /** Event id → how often a handler began with it. */
  let runs: Map<string, number>
  const cleanups: (() => Promise<void> | void)[] = []

  before(async () => {
    connection = await sharedCluster()
    kafka = rawKafka(connection.brokers)
    topics = new Topics(connection, PARTITIONS)
  })
  after(() => topics.close())
  beforeEach(() => {
    runs = new Map()
  })
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  })

  /** A processor whose handlers count themselves, wait for `held`, and emit one record. */
  function emitting(
    held: (event: Event) => Promise<void> | void = () => {},
    settings: Settings = testSettings(),
  ): TestProcessor {
    const handler: Handler = async (event, { attempt, emit }) => {
      runs.set(event.id, (runs.get(event.id) ?? 0) + 1)
      await held(event)
      emit(processor.output, agentEvent(event.id, attempt))
    }
    processor = testProcessor(connection, handler, {}, settings)
    cleanups.push(() => processor.stop())
    return processor
  }

  /** Settings that hold a partition back from its second failure on, for a second at first. */
  function holdingSoon(): Settings {
    const settings = testSettings()
    const holds = { holdBackAfter: 2, holdBackForMs: 1_000, holdBackForMaxMs: 2_000, lagIntervalMs: 200 }
    return { ...settings, processing: { ...settings.processing, ...holds } }
  }

  /** How often the processor's log says so. */
  function said(text: string): number {
    return processor.lines.filter(line => line.includes(text)).length
  }

  /** An event for each partition. */
  function oneEach(): Event[] {
    const events = new Map<number, Event>()
    while (events.size < PARTITIONS) {
      const event = eventOf(processor.source, {})
      events.set(partitionOf(Buffer.from(event.id), PARTITIONS), event)
    }
    return [...events.values()]
  }

  /** Another owner of the event's partition comes, processes the event, and goes. */
  async function processElsewhere(event: Event): Promise<void> {
    const schemaId = await createRegistry(connection.registryUrl).register(CLAIM_SCHEMA.name, CLAIM_SCHEMA)
    const partition = partitionOf(Buffer.from(event.id), PARTITIONS)
    const claim = { state: 'DONE', generation: 0, attempt: 1, windowMs: 86_400_000 }
    const value = encodeWire(schemaId, CLAIM_SCHEMA.type, claim)
    const owner = await rawTransactionalProducer(kafka, `${processor.config.groupId}-${partition}`)
    const transaction = await owner.transaction()
    await transaction.send({
      topic: processor.config.topics.claims,
      messages: [{ partition, key: event.id, value }],
    })
    await transaction.send({
      topic: processor.output,
      messages: [{ partition, key: event.id, value: 'elsewhere' }],
    })
    await transaction.commit()
    await owner.disconnect()
  }

  async function outputIds(): Promise<(string | null)[]> {
    return (await topics.readAll(processor.output)).map(({ key }) => key).sort()
  }

  /** Resolves once the processor has processed an event of every partition that comes now. */
  async function processOneMoreEach(): Promise<Event[]> {
    const more = oneEach()
    await topics.append(more)
    const ids = new Set<string | null>(more.map(({ id }) => id))
    await topics.read(processor.output, ({ key }) => ids.has(key), PARTITIONS)
    return more
  }

  it('a task that goes on over a rebalance, with another owner between, repeats nothing (M1, M3)', async () => {
    // Setup: an event of every partition is being handled. Timeline: another owner of each partition comes, processes
    // the same event and goes; a second member joins, so that some tasks are kept and some move; then the handlers
    // end. Proves: what was decided on the state from before is refused, the stay ends, and the next one reads what
    // the other owner did: one effect an event.
    const release = Promise.withResolvers<void>()
    const held = new Set<string>()
    emitting(({ id }) => (held.has(id) ? release.promise : undefined))
    await processor.start()
    const events = oneEach()
    for (const { id } of events) held.add(id)
    await topics.append(events)
    await until(() => runs.size === PARTITIONS)
    for (const event of events) await processElsewhere(event)
    await processor.start()
    release.resolve()
    const more = await processOneMoreEach()
    assert.deepEqual(await outputIds(), [...events, ...more].map(({ id }) => id).sort())
  })

  /** Claims that come are withheld from all restores until they are released; says how many batches wait. */
  function withholdClaims() {
    const { offer } = Restore.prototype
    const released = Promise.withResolvers<void>()
    let withheld = 0
    Restore.prototype.offer = function (batch) {
      withheld++
      void released.promise.then(() => offer.call(this, batch))
    }
    const mend = () => {
      Restore.prototype.offer = offer
      released.resolve()
    }
    cleanups.push(mend)
    return { release: mend, withheld: () => withheld }
  }

  it('a restore goes on over a rebalance in which its partition stays (M1)', async () => {
    // Setup: a processor that has claims is started again; its restores have begun, and take long. Timeline: another
    // member joins, and half of the partitions move; the restores come to their end. Proves: a partition that stayed
    // was acquired once, and what it read holds: no event runs again. Each restore used to begin anew with each member
    // that came or went; where that happened more often than a restore takes, nobody ever acquired anything.
    emitting()
    await processor.start()
    const events = await processOneMoreEach()
    await processor.stop()
    const opened: number[] = []
    cleanups.push(
      record(TaskProducer, 'open', (_cluster, _group, partition) => opened.push(Number(partition))),
    )
    const claims = withholdClaims()
    await processor.start()
    await until(() => claims.withheld() >= PARTITIONS)
    await processor.start()
    await until(() => opened.length >= PARTITIONS * 1.5)
    claims.release()
    await topics.append(events)
    const more = await processOneMoreEach()
    assert.deepEqual(await outputIds(), [...events, ...more].map(({ id }) => id).sort())
    assert.deepEqual(
      [...runs.values()],
      Array.from(runs, () => 1),
    )
    const counts = Map.groupBy(opened, partition => partition)
    assert.deepEqual([...counts.values()].map(({ length }) => length).sort(), [1, 1, 2, 2])
  })

  it('a task that acquires over a rebalance, with another owner between, repeats nothing (M1, M3)', async () => {
    // Setup: an event of every partition waits; the restores have begun, and take long. Timeline: another owner of each
    // partition comes, processes the event and goes; a second member joins; the restores come to their end. Proves:
    // what was restored from before is refused with its first transaction, and the next stay knows what the other owner
    // did: one effect an event.
    emitting()
    await processor.start()
    const before = await processOneMoreEach()
    await processor.stop()
    const events = oneEach()
    await topics.append(events)
    const claims = withholdClaims()
    await processor.start()
    await until(() => claims.withheld() >= PARTITIONS)
    for (const event of events) await processElsewhere(event)
    await processor.start()
    claims.release()
    const more = await processOneMoreEach()
    assert.deepEqual(await outputIds(), [...before, ...events, ...more].map(({ id }) => id).sort())
  })

  it('a partition whose claims cannot be read is held back; the others go on in one stay (M4)', async () => {
    // Setup: a foreign record in the claims of one partition that nobody can read. Timeline: the processor starts; that
    // partition fails once, and again; it is tried several times more. Proves: one failure ended the stay, the second
    // held the partition back, and no later one disturbed the others; the alarm and the lag are there to be seen. Each
    // failure used to end the stay of all partitions, for ever.
    emitting(() => {}, holdingSoon())
    await processor.start()
    const before = await processOneMoreEach()
    await processor.stop()
    const [bad, ...good] = oneEach() as [Event, ...Event[]]
    const partition = partitionOf(Buffer.from(bad.id), PARTITIONS)
    const producer = kafka.producer()
    await producer.connect()
    await producer.send({
      topic: processor.config.topics.claims,
      messages: [{ partition, key: 'crm:foreign', value: 'no claim' }],
    })
    await producer.disconnect()
    await topics.append([bad, ...good])
    await processor.start()
    await until(() => said('SP_HELD_BACK') >= 3)
    const ids = new Set<string | null>(good.map(({ id }) => id))
    await topics.read(processor.output, ({ key }) => ids.has(key), good.length)
    assert.deepEqual(await outputIds(), [...before, ...good].map(({ id }) => id).sort())
    assert.equal(said('left the group'), 1)
    const place = {
      processor: processor.config.name,
      topic: 'sallyport.events',
      partition: String(partition),
    }
    await until(async () => (await gaugeValue(lagRecords, place)) === 1)
    const held = { processor: place.processor, partition: place.partition }
    assert.equal(await gaugeValue(partitionsHeldBack, held), 1)
    await processor.stop()
    assert.equal(await gaugeValue(partitionsHeldBack, held), undefined)
  })

  it('a partition whose outputs are refused is held back, loses nothing, and doubles nothing (M4)', async () => {
    // Setup: one partition of the output refuses what is written. Timeline: an event of each partition comes; that one
    // fails again and again, and is held back; events of the others come; the output is mended. Proves: the others go
    // on meanwhile, and the event that was held back takes effect once, as soon as it is tried again.
    emitting(() => {}, holdingSoon())
    await processor.start()
    const before = await processOneMoreEach()
    const events = oneEach()
    const [bad] = events as [Event]
    const mend = refuse(processor.output, partitionOf(Buffer.from(bad.id), PARTITIONS))
    cleanups.push(mend)
    await topics.append(events)
    await until(() => said('SP_HELD_BACK') >= 2)
    const more = oneEach().filter(
      ({ id }) => partitionOf(Buffer.from(id), PARTITIONS) !== partitionOf(Buffer.from(bad.id), PARTITIONS),
    )
    await topics.append(more)
    const ids = new Set<string | null>(more.map(({ id }) => id))
    await topics.read(processor.output, ({ key }) => ids.has(key), more.length)
    assert.equal(said('left the group'), 1)
    mend()
    const last = await processOneMoreEach()
    assert.deepEqual(await outputIds(), [...before, ...events, ...more, ...last].map(({ id }) => id).sort())
    assert.equal(said('left the group'), 1)
  })

  it('an owner that was fenced acquires again only from a newer GROUP_JOIN (M3)', async () => {
    // Setup: an event is being handled. Timeline: another owner comes and goes; the handler ends, and its transaction
    // is refused. Proves: no producer is opened between the refusal and the next join. A zombie that acquired again
    // in place would fence the true owner.
    const release = Promise.withResolvers<void>()
    const held = new Set<string>()
    const steps: string[] = []
    cleanups.push(record(Membership.prototype, 'joined', () => steps.push('joined')))
    cleanups.push(record(TaskProducer, 'open', () => steps.push('open')))
    emitting(({ id }) => (held.has(id) ? release.promise : undefined))
    await processor.start()
    await processOneMoreEach()
    const [event] = oneEach() as [Event]
    held.add(event.id)
    await topics.append([event])
    await until(() => runs.has(event.id))
    await processElsewhere(event)
    steps.length = 0
    release.resolve()
    await processOneMoreEach()
    assert.deepEqual(steps.slice(0, 2), ['joined', 'open'])
    assert.equal(runs.get(event.id), 1)
  })

  for (const { title, fate, expected } of [
    { title: 'a commit whose answer is lost', fate: 'unheard', expected: 1 },
    { title: 'a commit of which nobody knows the outcome', fate: 'unknown', expected: 1 },
    { title: 'a commit that fails', fate: 'unsent', expected: 2 },
  ] as const) {
    it(`${title} leaves one effect: the claims tell the next stay what came of it (X4, T3)`, async () => {
      // Setup: a processor that runs. Timeline: an event is handled; its transaction's commit reaches the broker, or
      // does not. Where only the answer is lost, the producer asks again, and is told that it was committed; else the
      // task hears that nothing is known, or that it failed. Proves: then the task does not settle on; the next stay
      // reads the claims, and runs the event again only if nothing was committed.
      const faults = breakCommits(fate)
      cleanups.push(faults.mend)
      emitting()
      await processor.start()
      await processOneMoreEach()
      const [event] = oneEach() as [Event]
      faults.arm(processor.output)
      await topics.append([event])
      await topics.read(processor.output, ({ key }) => key === event.id, 1)
      await processOneMoreEach()
      assert.ok(faults.haveStruck())
      assert.equal((await outputIds()).filter(id => id === event.id).length, 1)
      assert.equal(runs.get(event.id), expected)
    })
  }

  it('a handler whose partition moved is told by its signal; the next attempt has its key and a greater epoch (T4)', async () => {
    // Setup: an event is being handled. Timeline: another owner of its partition comes and goes without touching it;
    // another event of the partition ends, its transaction is refused, and the stay ends while the first handler runs
    // on. Proves: its signal aborts and what it emits is discarded; the event is attempted again with the same
    // idempotency key, and with a greater epoch, by which a store can tell the stale handler from its successor.
    const attempts: { key: string; epoch: number; signal: AbortSignal }[] = []
    const release = Promise.withResolvers<void>()
    let held = ''
    processor = testProcessor(connection, async (event, { attempt, emit, epoch, idempotencyKey, signal }) => {
      if (event.id === held) {
        attempts.push({ key: idempotencyKey, epoch, signal })
        if (attempts.length === 1) await release.promise
      }
      emit(processor.output, agentEvent(event.id, attempt))
    })
    cleanups.push(() => processor.stop())
    await processor.start()
    await processOneMoreEach()
    const [event] = oneEach() as [Event]
    held = event.id
    await topics.append([event])
    await until(() => attempts.length === 1)
    const partition = partitionOf(Buffer.from(event.id), PARTITIONS)
    const other = oneEach().find(({ id }) => partitionOf(Buffer.from(id), PARTITIONS) === partition)
    await processElsewhere(other as Event)
    await processOneMoreEach()
    await until(() => attempts.length === 2)
    release.resolve()
    const [first, second] = attempts as [(typeof attempts)[0], (typeof attempts)[0]]
    assert.ok(first.signal.aborted)
    assert.ok(!second.signal.aborted)
    assert.equal(second.key, first.key)
    assert.ok(second.epoch > first.epoch, `${second.epoch} > ${first.epoch}`)
    await processOneMoreEach()
    assert.equal((await outputIds()).filter(id => id === event.id).length, 1)
  })

  it('a handler that runs on holds up no reader of a shared output partition: transactions are open for the flush only', async () => {
    // Setup: two processors that emit into one topic. Timeline: the slow one's handler has emitted and runs on; the
    // fast one settles the same event. Proves: a reader of committed records sees the fast one's output at once. A
    // transaction that was open while a handler runs would hold the last stable offset.
    const release = Promise.withResolvers<void>()
    emitting()
    const { output, source } = processor
    const slow = testProcessor(
      connection,
      async (event, { attempt, emit }) => {
        emit(output, agentEvent(event.id, attempt), { key: event.id })
        await release.promise
      },
      { sources: [source], outputs: { [output]: 'agent-event.v1' } },
    )
    cleanups.push(() => slow.stop())
    cleanups.push(() => release.resolve())
    await Promise.all([processor.start(), slow.start()])
    const events = await processOneMoreEach()
    assert.deepEqual(await outputIds(), events.map(({ id }) => id).sort())
    release.resolve()
    await topics.read(output, () => true, 2 * PARTITIONS)
  })
})

/** Calls `note` before each call of a method, with its arguments; gives what undoes it. */
function record<T extends object>(owner: T, method: keyof T, note: (...args: unknown[]) => void): () => void {
  const original = owner[method] as (...args: unknown[]) => unknown
  owner[method] = function (this: unknown, ...args: unknown[]) {
    note(...args)
    return original.apply(this, args)
  } as T[keyof T]
  return () => {
    owner[method] = original as T[keyof T]
  }
}

/**
 * Once armed, the next commit of a transaction that wrote to the topic does not come off as it should: it is not sent; or
 * the broker commits, and its answer is lost once, or for good.
 */
function breakCommits(fate: 'unsent' | 'unheard' | 'unknown') {
  const { write, commit } = TransactionalProducer.prototype
  const { coordinate } = ProducerCluster.prototype
  const writing = new WeakSet<TransactionalProducer>()
  let armedFor: string | undefined
  let losesAnswer = false
  let struck = 0
  TransactionalProducer.prototype.write = function (writes) {
    if (writes.some(({ topic }) => topic === armedFor)) writing.add(this)
    return write.call(this, writes)
  }
  TransactionalProducer.prototype.commit = async function () {
    if (armedFor === undefined || !writing.has(this)) return await commit.call(this)
    armedFor = undefined
    struck++
    losesAnswer = fate === 'unheard'
    if (fate !== 'unsent') await commit.call(this)
    if (fate !== 'unheard') throw new TransactionError(fate === 'unsent' ? 'failed' : 'unknown', 'broken')
  }
  ProducerCluster.prototype.coordinate = async function (broker, request) {
    const answer = await coordinate.call(this, broker, request)
    if (!losesAnswer || request.name !== 'EndTxn') return answer as never
    losesAnswer = false
    throw new UnansweredError('the connection was reset')
  }
  return {
    arm: (topic: string) => {
      armedFor = topic
    },
    haveStruck: () => struck === 1 && !losesAnswer,
    mend: () => {
      Object.assign(TransactionalProducer.prototype, { write, commit })
      Object.assign(ProducerCluster.prototype, { coordinate })
    },
  }
}

/** Transactions that write to this partition fail; gives what undoes it. */
function refuse(topic: string, partition: number): () => void {
  const { write } = TransactionalProducer.prototype
  TransactionalProducer.prototype.write = async function (writes) {
    if (writes.some(place => place.topic === topic && place.partition === partition)) {
      throw new TransactionError('failed', 'the output is refused')
    }
    return await write.call(this, writes)
  }
  return () => {
    TransactionalProducer.prototype.write = write
  }
}

/** A gauge's value for these labels; undefined where it has none. */
async function gaugeValue(
  gauge: typeof lagRecords | typeof partitionsHeldBack,
  labels: Readonly<Record<string, string>>,
): Promise<number | undefined> {
  const { values } = await gauge.get()
  const found = values.find(({ labels: of }) =>
    Object.entries(labels).every(([name, value]) => (of as Record<string, unknown>)[name] === value),
  )
  return found?.value
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise(resolve => setTimeout(resolve, 20))
}
