/** `sallyport replay`: the real binary, a real broker, a processor that can be broken and mended. */
import assert from 'node:assert/strict'
import { HEADER } from '@sallyport/core/headers'
import { headerText } from '@sallyport/core/kafka/group-consumer'
import type { Ended } from '../support/cli.ts'
import { Operator } from '../support/operator.ts'
import { settingsFileFor } from '../support/settings-file.ts'

describe('a replay', function () {
  // Each command is a process, and a busy machine takes its time.
  this.timeout(300_000)
  let operator: Operator

  beforeEach(async () => {
    operator = await Operator.withProcessor()
  })
  afterEach(() => operator.leave())

  async function replay(...args: string[]): Promise<Ended> {
    const { config } = operator.processor
    const named = ['--processor', config.name, '--config', settingsFileFor(operator.processor)]
    return await operator.cli.run(['replay', ...named, ...args])
  }

  it('runs past events of a time, a source and a type again at one processor, each once', async () => {
    operator.isBroken = () => false
    const ids = await operator.append(20)
    await operator.topics.read(operator.processor.output, () => true, 20)
    const [plan, ...refused] = await Promise.all([
      replay('--from', '1h', '--json'),
      replay('--from', '1h', '--type', 'other', '--yes'),
      replay('--from', '1h', '--source', 'crm'),
      replay('--from', '1h', '--to', '2h'),
      replay('--yes'),
    ])
    assert.equal(plan.code, 0, plan.stderr)
    assert.equal(JSON.parse(plan.stdout).plan.count, 20)
    assert.deepEqual(
      refused.map(({ code }) => code),
      [3, 2, 2, 2],
    )
    const done = await replay('--from', '1h', '--yes', '--json')
    assert.equal(done.code, 0, done.stderr)
    const { operation } = JSON.parse(done.stdout)
    assert.deepEqual(await operator.outputIds(40), [...ids, ...ids].sort())
    const [sent] = await operator.own('redrive')
    assert.equal(headerText(sent?.headers ?? {}, HEADER.replayed), 'true')
    assert.equal(headerText(sent?.headers ?? {}, HEADER.generation), String(operation.id))
  })

  it('of dead letters counts as sent round: they are not redriven on top', async () => {
    const ids = await operator.deadEvents(6)
    operator.isBroken = () => false
    const done = await replay('--from', '1h', '--yes')
    assert.equal(done.code, 0, done.stderr)
    assert.deepEqual(await operator.outputIds(6), ids)
    await operator.untilListed('processed', 6)
    assert.equal((await operator.dlq('redrive', '--yes')).code, 3)
    assert.equal((await operator.own('redrive')).length, 6)
  })
})
