/** `sallyport dlq`, `replay`, `pause` and `resume`: the real binary, a real broker, a processor that can be broken. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { HEADER } from '@sallyport/core/headers'
import { headerText } from '@sallyport/core/kafka/group-consumer'
import { Fatal } from '@sallyport/processor'
import { checkOperations } from 'sallyport/check/operations-check'
import { cliOf, type Ended, jsonLines } from '../support/cli.ts'
import { committedRecords } from '../support/committed.ts'
import { appendDeadLetters } from '../support/dead-letters.ts'
import { eventOf, Topics, TRACEPARENT } from '../support/events.ts'
import { agentEvent, PARTITIONS, type TestProcessor, testProcessor } from '../support/processor.ts'
import { settingsFileFor } from '../support/settings-file.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

/** Moves the cursor, sets the window's title, turns the text round. */
const HOSTILE = '\u001b]0;owned\u0007\u009b2J\u202e'
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must not be there
const OBEYED = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/

describe('operations on dead letters and past events', function () {
  // Each command is a process, and a busy machine takes its time.
  this.timeout(300_000)
  let connection: Awaited<ReturnType<typeof sharedCluster>>
  let topics: Topics
  let cli: ReturnType<typeof cliOf>
  let processor: TestProcessor
  let broken: (body: { n: number }) => boolean

  before(async () => {
    connection = await sharedCluster()
    topics = new Topics(connection, PARTITIONS)
    await topics.connect()
    cli = cliOf(connection)
  })
  after(() => topics.close())
  beforeEach(async () => {
    broken = () => true
    processor = testProcessor(
      connection,
      (event, { attempt, emit }) => {
        if (broken(JSON.parse(event.body.toString()))) throw new Fatal(`the agent is broken ${HOSTILE}`)
        emit(processor.output, agentEvent(event.id, attempt))
      },
      { concurrency: 50 },
    )
    await processor.start()
  })
  afterEach(() => processor.stop())

  /** Events that all end in the dead letter. */
  async function deadEvents(count: number, body: object = {}) {
    const events = Array.from({ length: count }, (_, n) => eventOf(processor.source, { n, ...body }))
    await topics.append(events)
    await topics.read(processor.config.topics.deadLetter, () => true, count)
    return events
  }

  /** Of this test's source only: whatever else lies in the events topic may be a dead letter here, too. */
  function mine(command: string): string[] {
    const filter = command === 'show' ? [] : ['--source', processor.source]
    return ['dlq', command, '--processor', processor.config.name, ...filter]
  }

  function dlq(command: string, ...args: string[]): Promise<Ended> {
    return cli.run([...mine(command), ...args])
  }

  async function listed(...args: string[]): Promise<Record<string, unknown>[]> {
    return jsonLines((await dlq('list', '--json', ...args)).stdout)
  }

  async function outputIds(): Promise<(string | null)[]> {
    return (await topics.readAll(processor.output)).map(({ key }) => key).sort()
  }

  /** How many records about this processor the audit holds. */
  async function auditRecords(): Promise<number> {
    const records = await committedRecords(connection, 'sallyport.audit')
    return records.filter(({ key }) => String(key) === processor.config.name).length
  }

  /** What stands in one of the processor's own topics. */
  function own(topic: 'deadLetter' | 'redrive') {
    return committedRecords(connection, processor.config.topics[topic])
  }

  function ids(events: readonly { id: string }[]): string[] {
    return events.map(({ id }) => id).sort()
  }

  async function untilState(state: string, count: number): Promise<Record<string, unknown>[]> {
    for (;;) {
      const found = await listed('--state', state)
      if (found.length >= count) return found
      await sleep(300)
    }
  }

  it('a plan writes nothing; a redrive sends each dead letter round once, and it counts as processed only then (Z2)', async () => {
    const events = await deadEvents(30)
    const before = await auditRecords()
    const plan = await dlq('redrive', '--json')
    assert.equal(plan.code, 0, plan.stderr)
    const planned = JSON.parse(plan.stdout).plan
    assert.deepEqual(
      [planned.count, planned.bySource, planned.byReason],
      [30, { [processor.source]: 30 }, { fatal: 30 }],
    )
    assert.equal(await auditRecords(), before)
    assert.deepEqual(await own('redrive'), [])

    // Nobody processes: what was sent waits, and is not shown as processed.
    await processor.stop()
    const redriven = await dlq('redrive', '--yes', '--json', '--why', 'the agent is mended')
    assert.equal(redriven.code, 0, redriven.stderr)
    const { operation } = JSON.parse(redriven.stdout)
    assert.deepEqual(
      [operation.state, operation.handled, operation.why],
      ['finished', 30, 'the agent is mended'],
    )
    const waiting = await listed()
    assert.deepEqual(new Set(waiting.map(({ state }) => state)), new Set(['waiting']))
    assert.equal((await dlq('redrive', '--yes')).code, 3)

    broken = () => false
    await processor.start()
    assert.deepEqual((await untilState('processed', 30)).map(({ id }) => id).sort(), ids(events))
    assert.deepEqual(await outputIds(), ids(events))
    assert.equal((await dlq('list')).code, 3)

    // The record keeps bytes, trace, reason and origin; it says which operation sent it.
    const of = ({ key }: { key: Buffer | null }) => String(key) === events[0]?.id
    const [dead, sent] = [(await own('deadLetter')).find(of), (await own('redrive')).find(of)]
    const header = (record: typeof sent, name: string) => headerText(record?.headers ?? {}, name)
    assert.deepEqual([sent?.value, sent?.partition], [dead?.value, dead?.partition])
    assert.equal(header(sent, HEADER.traceparent)?.slice(3, 35), TRACEPARENT.slice(3, 35))
    assert.equal(header(sent, HEADER.generation), String(operation.id))
    assert.equal(header(sent, HEADER.attempt), '1')
    assert.equal(header(sent, HEADER.reason), 'fatal')
    assert.equal(header(sent, HEADER.origin), header(dead, HEADER.origin))
    assert.equal(header(sent, HEADER.code), undefined)
  })

  it('an event that dies again is dead again, with one dead letter that speaks for it', async () => {
    await deadEvents(5)
    assert.equal((await dlq('redrive', '--yes')).code, 0)
    await topics.read(processor.config.topics.deadLetter, () => true, 10)
    const dead = await listed('--state', 'dead')
    assert.equal(dead.length, 5)
    assert.ok(dead.every(({ generation }) => typeof generation === 'number'))
    const shown = JSON.parse((await dlq('show', String(dead[0]?.id), '--json')).stdout)
    assert.deepEqual(
      shown.deadLetters.map(({ state }: { state: string }) => state),
      ['superseded', 'dead'],
    )
    broken = () => false
    assert.equal((await dlq('redrive', '--yes')).code, 0)
    await topics.read(processor.output, () => true, 5)
    assert.equal((await outputIds()).length, 5)
  })

  it('filters pick by source, type, reason, code, text and time, and a limit bounds them', async () => {
    const events = await deadEvents(12, { city: 'Rome' })
    const [one] = events
    const filters: [string[], number][] = [
      [['--text', '"n":7,'], 1],
      [['--text', 'Rome', '--type', 'test', '--source', processor.source], 12],
      [['--reason', 'fatal', '--code', 'SP_HANDLER_FATAL', '--from', '1h'], 12],
      [['--limit', '5'], 5],
      [['--reason', 'exhausted', '--reason', 'poison'], 0],
      [['--to', '1h'], 0],
    ]
    const found = await Promise.all(filters.map(async ([args]) => (await listed(...args)).length))
    assert.deepEqual(
      found,
      filters.map(([, wanted]) => wanted),
    )
    broken = () => false
    assert.equal((await dlq('redrive', '--yes', one?.id as string)).code, 0)
    assert.equal((await dlq('redrive', '--yes', '--limit', '4')).code, 0)
    await topics.read(processor.output, () => true, 5)
    assert.equal((await listed('--state', 'dead')).length, 7)
    assert.equal((await outputIds()).length, 5)
  })

  it('discarded dead letters are hidden and stay where they are', async () => {
    const events = await deadEvents(4)
    const [first, second] = ids(events) as [string, string]
    const plan = await dlq('discard', first, second)
    assert.equal(plan.code, 0)
    assert.match(plan.stdout, /would hide 2 dead letters/)
    assert.equal((await listed()).length, 4)
    const done = await dlq('discard', first, second, '--yes', '--json')
    assert.equal(JSON.parse(done.stdout).operation.handled, 2)
    assert.equal((await listed()).length, 2)
    assert.deepEqual((await listed('--state', 'discarded')).map(({ id }) => id).sort(), [first, second])
    assert.equal((await own('deadLetter')).length, 4)
    assert.equal(JSON.parse((await dlq('redrive', '--json')).stdout).plan.leftOut.discarded, 2)
  })

  it('what a stranger wrote cannot steer the terminal', async () => {
    const [event] = await deadEvents(1, { text: HOSTILE })
    const results = await Promise.all([dlq('list'), dlq('show', event?.id as string), dlq('redrive')])
    for (const result of results) {
      assert.equal(result.code, 0, result.stderr)
      assert.doesNotMatch(result.stdout, OBEYED)
    }
    const shown = JSON.parse((await dlq('show', event?.id as string, '--json')).stdout).deadLetters[0]
    assert.equal(JSON.parse(shown.body).text, HOSTILE)
    assert.match(shown.message, /the agent is broken/)
  })

  it('a record that cannot be read has a name of its own, so that it does not hide an event’s dead letter', async () => {
    const [event] = await deadEvents(1)
    const partition = (await listed())[0]?.partition as number
    const garbage = { partition, key: event?.id as string, value: Buffer.from('garbage') }
    await topics.appendRaw(processor.config.topics.retry[0] as string, [garbage])
    await topics.read(processor.config.topics.deadLetter, () => true, 2)
    const dead = await listed()
    assert.equal(dead.length, 2)
    const poison = dead.find(({ reason }) => reason === 'poison')
    assert.match(String(poison?.id), /^#sallyport\.test-\w+\.retry\.1\/\d+\/\d+$/)
    assert.equal(
      JSON.parse((await dlq('show', String(poison?.id), '--json')).stdout).deadLetters[0].body,
      'garbage',
    )
    broken = () => false
    assert.equal((await dlq('redrive', '--yes')).code, 0)
    await untilState('processed', 1)
    await topics.read(processor.config.topics.deadLetter, () => true, 3)
    assert.deepEqual(
      (await untilState('dead', 1)).map(({ id }) => id),
      [poison?.id],
    )
  })

  it('replay runs past events of a time, a source and a type again at one processor, each once', async () => {
    broken = () => false
    const events = Array.from({ length: 20 }, (_, n) => eventOf(processor.source, { n }))
    await topics.append(events)
    await topics.read(processor.output, () => true, 20)
    const replay = (...args: string[]) =>
      cli.run([
        'replay',
        '--processor',
        processor.config.name,
        '--config',
        settingsFileFor(processor),
        ...args,
      ])
    const plan = await replay('--from', '1h', '--json')
    assert.equal(plan.code, 0, plan.stderr)
    assert.equal(JSON.parse(plan.stdout).plan.count, 20)
    assert.equal((await replay('--from', '1h', '--type', 'other', '--yes')).code, 3)
    assert.equal((await replay('--from', '1h', '--source', 'crm')).code, 2)
    assert.equal((await replay('--from', '1h', '--to', '2h')).code, 2)
    assert.equal((await replay('--yes')).code, 2)
    const done = await replay('--from', '1h', '--yes', '--json')
    assert.equal(done.code, 0, done.stderr)
    const { operation } = JSON.parse(done.stdout)
    await topics.read(processor.output, () => true, 40)
    assert.deepEqual(await outputIds(), ids([...events, ...events]))
    const [sent] = await own('redrive')
    assert.equal(headerText(sent?.headers ?? {}, HEADER.replayed), 'true')
    assert.equal(headerText(sent?.headers ?? {}, HEADER.generation), String(operation.id))
  })

  it('replayed dead letters count as sent round, and are not redriven on top', async () => {
    const events = await deadEvents(6)
    broken = () => false
    const name = processor.config.name
    const done = await cli.run([
      'replay',
      '--processor',
      name,
      '--config',
      settingsFileFor(processor),
      '--from',
      '1h',
      '--yes',
    ])
    assert.equal(done.code, 0, done.stderr)
    await untilState('processed', 6)
    assert.equal((await dlq('redrive', '--yes')).code, 3)
    assert.deepEqual(await outputIds(), ids(events))
  })

  it('a paused processor begins nothing, also after a restart, until it is resumed', async () => {
    broken = () => false
    const { name } = processor.config
    // A stranger's bytes in the audit stop nobody.
    await topics.appendRaw('sallyport.audit', [{ partition: 0, key: name, value: Buffer.from('garbage') }])
    const paused = await cli.run(['pause', name, '--why', 'the database moves', '--json'])
    assert.deepEqual(
      JSON.parse(paused.stdout),
      { processor: name, paused: true, changed: true },
      paused.stderr,
    )
    assert.match((await cli.run(['pause', name])).stdout, /was paused already/)
    // A process that starts now knows it before it begins (U1).
    await processor.stop()
    const running = await processor.start()
    const held = () => running.gates.get(name)?.holds.has('paused') === true
    assert.ok(held())
    const event = eventOf(processor.source, {})
    await topics.append([event])
    assert.deepEqual(await topics.read(processor.output, () => true, 1, 2_000), [])
    assert.equal((await cli.run(['resume', name])).code, 0)
    assert.equal((await topics.read(processor.output, () => true, 1))[0]?.key, event.id)
    // And one that runs is reached; doctor tells.
    assert.equal((await cli.run(['pause', name, '--why', 'the database moves'])).code, 0)
    while (!held()) await sleep(50)
    const findings = await checkOperations(connection)
    const about = findings.find(finding => finding.about === `processor ${name}`)
    assert.match(about?.text ?? '', /^paused since .* \(the database moves\): sallyport resume/)
    assert.equal((await cli.run(['resume', name])).code, 0)
    while (held()) await sleep(50)
    assert.equal((await cli.run(['pause', 'nobody'])).code, 1)
  })

  it('wrong filters, unknown ids and unknown operations say so, each with its exit code', async () => {
    await deadEvents(1)
    const nobody = `${processor.source}/nobody`
    const wrong = [
      ['--reason', 'bored'],
      ['--state', 'alive'],
      ['--from', 'yesterday'],
      ['--limit', '0'],
    ]
    const [unknown, missing, resumed, cancelled, both, foreign, gone, ...refused] = await Promise.all([
      dlq('redrive', '--yes', nobody),
      dlq('show', 'crm/nobody'),
      dlq('redrive', '--resume', '999999'),
      dlq('redrive', '--cancel', '999999'),
      dlq('redrive', '--resume', '1', '--cancel', '1'),
      cli.run(['dlq', 'list', '--processor', 'nobody']),
      cli.run(['dlq', 'list', '--brokers', '127.0.0.1:1']),
      ...wrong.map(args => dlq('list', ...args)),
    ])
    assert.deepEqual(
      [unknown, missing, resumed, cancelled].map(({ code }) => code),
      [3, 3, 3, 3],
    )
    assert.match(unknown.stdout, /no dead letter of test-\w+ is named/)
    assert.equal(both.code, 2)
    assert.deepEqual([foreign.code, gone.code], [1, 1])
    assert.match(gone.stderr, /^SP_BROKER_UNREACHABLE: .*check KAFKA_BROKERS/)
    for (const [i, { code, stdout, stderr }] of refused.entries()) {
      assert.deepEqual([code, stdout], [2, ''], wrong[i]?.join(' '))
      assert.match(stderr, new RegExp(wrong[i]?.[0] as string))
    }
  })

  it('Ctrl-C leaves an operation that the same command goes on with, or that is given up', async () => {
    const events = await deadEvents(40)
    broken = () => false
    const args = [...mine('redrive'), '--yes', '--rate', '1']
    const first = cli.start(args)
    await topics.read(processor.config.topics.redrive, () => true, 3)
    first.child.kill('SIGINT')
    const stopped = await first.ended
    assert.equal(stopped.signal, 'SIGINT')
    assert.match(stopped.stderr, /operation \d+ stays open, \d+ of 40 done: the same command goes on with it/)
    const [, id] = /operation (\d+) stays open/.exec(stopped.stderr) as unknown as [string, string]

    // Another selection is told who holds the processor.
    const other = await dlq('redrive', '--yes', '--reason', 'fatal')
    assert.equal(other.code, 1)
    assert.match(
      other.stderr,
      new RegExp(`^SP_OPERATION_OPEN: operation ${id} .*--resume ${id}, or .*--cancel ${id}`),
    )

    const again = await dlq('redrive', '--yes', '--json')
    assert.equal(again.code, 0, again.stderr)
    assert.deepEqual(JSON.parse(again.stdout).operation.id, Number(id))
    await topics.read(processor.output, () => true, 40)
    assert.deepEqual(await outputIds(), ids(events))
  })

  it('what a cancelled operation did not send is dead as before (Z1)', async () => {
    await deadEvents(30)
    broken = () => false
    const running = cli.start([...mine('redrive'), '--yes', '--rate', '1'])
    await topics.read(processor.config.topics.redrive, () => true, 3)
    running.child.kill('SIGKILL')
    await running.ended
    const id = /operation (\d+)/.exec((await dlq('redrive', '--yes', '--type', 'test')).stderr)?.[1] as string
    const cancelled = await dlq('redrive', '--cancel', id, '--yes', '--json')
    assert.equal(cancelled.code, 0, cancelled.stderr)
    const { state, handled } = JSON.parse(cancelled.stdout).operation
    assert.equal(state, 'cancelled')
    await untilState('processed', handled)
    assert.equal((await listed('--state', 'dead')).length, 30 - handled)
    assert.equal((await dlq('redrive', '--yes')).code, 0)
    await topics.read(processor.output, () => true, 30)
    assert.equal((await outputIds()).length, 30)
  })

  it('thousands of dead letters are listed, filtered and redriven, each once', async () => {
    const { name } = processor.config
    await processor.stop()
    await appendDeadLetters(topics, name, processor.source, 5_000)
    assert.equal(new Set((await listed()).map(({ id }) => id)).size, 5_000)
    assert.equal((await listed('--type', 'tenth')).length, 500)
    const redriven = await dlq('redrive', '--yes', '--json', '--type', 'other')
    assert.equal(JSON.parse(redriven.stdout).operation.handled, 4_500, redriven.stderr)
    const sent = await own('redrive')
    assert.equal(sent.length, 4_500)
    assert.equal(new Set(sent.map(({ key }) => String(key))).size, 4_500)
    assert.equal((await listed('--state', 'dead')).length, 500)
  })

  it('two operators who redrive the same selection at once send nothing twice (W1)', async () => {
    const events = await deadEvents(40)
    broken = () => false
    const args = [...mine('redrive'), '--yes', '--rate', '20']
    const ends = await Promise.all([cli.run(args), cli.run(args), cli.run(args)])
    const codes = ends.map(({ code }) => code).sort()
    assert.ok(codes.includes(0), ends.map(({ stderr }) => stderr).join('\n'))
    for (const { code, stderr } of ends.filter(({ code }) => code === 1))
      assert.match(stderr, /^SP_OPERATION_OPEN/, String(code))
    assert.ok(
      codes.every(code => code === 0 || code === 1 || code === 3),
      codes.join(),
    )
    await topics.read(processor.output, () => true, 40)
    assert.deepEqual(await outputIds(), ids(events))
    assert.equal((await own('redrive')).length, 40)
  })

  it('an operator who takes a running operation up fences its runner, and nothing is sent twice (W2)', async () => {
    const events = await deadEvents(40)
    broken = () => false
    const running = cli.start([...mine('redrive'), '--yes', '--rate', '1'])
    await topics.read(processor.config.topics.redrive, () => true, 3)
    const id = /operation (\d+)/.exec((await dlq('redrive', '--yes')).stderr)?.[1] as string
    const taken = await dlq('redrive', '--resume', id, '--yes')
    assert.equal(taken.code, 0, taken.stderr)
    const fenced = await running.ended
    assert.equal(fenced.code, 1)
    assert.match(
      fenced.stderr,
      /SP_OPERATION_CLOSED: operation \d+ was finished|SP_FENCED: operation \d+ was taken up/,
    )
    await topics.read(processor.output, () => true, 40)
    assert.deepEqual(await outputIds(), ids(events))
    assert.equal((await own('redrive')).length, 40)
  })
})
