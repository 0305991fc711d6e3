/** `sallyport dlq redrive`: the real binary, a real broker, a processor that can be broken and mended. */
import assert from 'node:assert/strict'
import { HEADER } from '@sallyport/core/headers'
import { headerText } from '@sallyport/core/kafka/group-consumer'
import { TRACEPARENT } from '../support/events.ts'
import { Operator } from '../support/operator.ts'

describe('a redrive', function () {
  // Each command is a process, and a busy machine takes its time.
  this.timeout(300_000)
  let operator: Operator

  beforeEach(async () => {
    operator = await Operator.withProcessor()
  })
  afterEach(() => operator.leave())

  it('is a plan that writes nothing; with --yes it sends each letter once, and it counts as processed only then (Z2)', async () => {
    const ids = await operator.deadEvents(30)
    const { processor, cli } = operator
    const plan = await operator.dlq('redrive', '--json')
    assert.equal(plan.code, 0, plan.stderr)
    const planned = JSON.parse(plan.stdout).plan
    assert.deepEqual(
      [planned.count, planned.bySource, planned.byReason],
      [30, { [processor.source]: 30 }, { fatal: 30 }],
    )
    assert.equal(await operator.auditRecords(), 0)
    assert.deepEqual(await operator.own('redrive'), [])

    // Nobody processes: what was sent waits, and is not shown as processed.
    await processor.stop()
    const redriven = await operator.dlq('redrive', '--yes', '--json', '--why', 'the agent is mended')
    assert.equal(redriven.code, 0, redriven.stderr)
    const { operation } = JSON.parse(redriven.stdout)
    assert.deepEqual(
      [operation.state, operation.handled, operation.why],
      ['finished', 30, 'the agent is mended'],
    )
    const event = ids[0] as string
    const [waiting, nothing, sentRound] = await Promise.all([
      operator.listed(),
      operator.dlq('redrive', '--yes'),
      cli.run(['events', 'show', event]),
    ])
    assert.deepEqual(new Set(waiting.map(({ state }) => state)), new Set(['waiting']))
    assert.equal(nothing.code, 3)
    assert.match(sentRound.stdout, /sent round again, not processed yet \(operation \d+\)/)
    assert.match(
      sentRound.stdout,
      new RegExp(`operation ${operation.id}: redrive of 30 records by .*: the agent is mended\n`),
    )

    operator.isBroken = () => false
    await processor.start()
    assert.deepEqual(await operator.outputIds(30), ids)
    const done = await operator.untilListed('processed', 30)
    assert.deepEqual(done.map(({ id }) => id).sort(), ids)
    const [none, redone] = await Promise.all([operator.dlq('list'), cli.run(['events', 'show', event])])
    assert.equal(none.code, 3)
    assert.match(redone.stdout, /redriven \(operation \d+\)/)

    // The record keeps bytes, trace, reason and origin; it says which operation sent it.
    const of = ({ key }: { key: Buffer | null }) => String(key) === event
    const [dead, sent] = [
      (await operator.own('deadLetter')).find(of),
      (await operator.own('redrive')).find(of),
    ]
    const header = (record: typeof sent, name: string) => headerText(record?.headers ?? {}, name)
    assert.deepEqual([sent?.value, sent?.partition], [dead?.value, dead?.partition])
    assert.equal(header(sent, HEADER.traceparent)?.slice(3, 35), TRACEPARENT.slice(3, 35))
    assert.equal(header(sent, HEADER.generation), String(operation.id))
    assert.equal(header(sent, HEADER.attempt), '1')
    assert.equal(header(sent, HEADER.reason), 'fatal')
    assert.equal(header(sent, HEADER.origin), header(dead, HEADER.origin))
    assert.equal(header(sent, HEADER.code), undefined)
  })

  it('of an event that dies again leaves it dead, with one dead letter that speaks for it', async () => {
    await operator.deadEvents(5)
    assert.equal((await operator.dlq('redrive', '--yes')).code, 0)
    await operator.topics.read(operator.processor.config.topics.deadLetter, () => true, 10)
    const dead = await operator.listed('--state', 'dead')
    assert.equal(dead.length, 5)
    assert.ok(dead.every(({ generation }) => typeof generation === 'number'))
    operator.isBroken = () => false
    const shown = JSON.parse((await operator.dlq('show', String(dead[0]?.id), '--json')).stdout)
    assert.deepEqual(
      shown.deadLetters.map(({ state }: { state: string }) => state),
      ['superseded', 'dead'],
    )
    assert.equal((await operator.dlq('redrive', '--yes')).code, 0)
    assert.equal((await operator.outputIds(5)).length, 5)
  })

  it('takes the letters that are named, or so many as a limit says', async () => {
    const [one] = (await operator.deadEvents(12)) as [string]
    operator.isBroken = () => false
    assert.equal((await operator.dlq('redrive', '--yes', one)).code, 0)
    assert.equal((await operator.dlq('redrive', '--yes', '--limit', '4')).code, 0)
    assert.equal((await operator.outputIds(5)).length, 5)
    assert.equal((await operator.listed('--state', 'dead')).length, 7)
  })

  it('of a record that cannot be read goes by a name of its own, which hides no event’s dead letter', async () => {
    const [event] = (await operator.deadEvents(1)) as [string]
    const { deadLetter, retry } = operator.processor.config.topics
    const partition = (await operator.own('deadLetter'))[0]?.partition as number
    const garbage = { partition, key: event, value: Buffer.from('garbage') }
    await operator.topics.appendRaw(retry[0] as string, [garbage])
    await operator.topics.read(deadLetter, () => true, 2)
    const dead = await operator.listed()
    assert.equal(dead.length, 2)
    const poison = dead.find(({ reason }) => reason === 'poison')
    assert.match(String(poison?.id), /^at:sallyport\.test-\w+\.retry\.1\/\d+\/\d+$/)
    operator.isBroken = () => false
    const shown = JSON.parse((await operator.dlq('show', String(poison?.id), '--json')).stdout)
    assert.equal(shown.deadLetters[0].body, 'garbage')
    assert.equal((await operator.dlq('redrive', '--yes')).code, 0)
    await operator.topics.read(deadLetter, () => true, 3)
    await operator.untilListed('processed', 1)
    assert.deepEqual(
      (await operator.untilListed('dead', 1)).map(({ id }) => id),
      [poison?.id],
    )
  })
})
