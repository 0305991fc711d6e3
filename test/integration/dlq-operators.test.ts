/** Redrives that are interrupted, given up, taken over or asked for twice: the real binary on a real broker. */
import assert from 'node:assert/strict'
import type { Running } from '../support/cli.ts'
import { Operator } from '../support/operator.ts'

describe('operators of one processor', function () {
  // Each command is a process, and a busy machine takes its time.
  this.timeout(300_000)
  let operator: Operator

  beforeEach(async () => {
    operator = await Operator.withProcessor()
  })
  afterEach(() => operator.leave())

  /** So many dead letters, and a redrive of one a second that has sent the first. */
  async function slowRedrive(count: number): Promise<{ ids: string[]; running: Running }> {
    const ids = await operator.deadEvents(count)
    operator.isBroken = () => false
    const running = operator.cli.start([...operator.args('redrive'), '--yes', '--rate', '1'])
    await operator.topics.read(operator.processor.config.topics.redrive, () => true, 1)
    return { ids, running }
  }

  /** The number of the operation that holds the processor, as whoever asks for another one is told. */
  async function holder(...args: string[]): Promise<string> {
    const other = await operator.dlq('redrive', '--yes', ...args)
    assert.equal(other.code, 1)
    const [, id] = /^SP_OPERATION_OPEN: operation (\d+) .*--resume \1, or .*--cancel \1/.exec(
      other.stderr,
    ) as unknown as [string, string]
    return id
  }

  it('who press Ctrl-C leave an operation that the same command goes on with', async () => {
    const { ids, running } = await slowRedrive(40)
    running.child.kill('SIGINT')
    const stopped = await running.ended
    assert.equal(stopped.code, 'SIGINT')
    assert.match(stopped.stderr, /operation \d+ stays open, \d+ of 40 done: the same command goes on with it/)
    // Another selection is told who holds the processor.
    const id = await holder('--reason', 'fatal')
    const again = await operator.dlq('redrive', '--yes', '--json')
    assert.equal(again.code, 0, again.stderr)
    assert.deepEqual(JSON.parse(again.stdout).operation.id, Number(id))
    assert.deepEqual(await operator.outputIds(40), ids)
  })

  it('who cancel an operation leave what it did not send dead as before (Z1)', async () => {
    const { ids, running } = await slowRedrive(30)
    running.child.kill('SIGKILL')
    await running.ended
    const id = await holder('--type', 'test')
    const cancelled = await operator.dlq('redrive', '--cancel', id, '--yes', '--json')
    assert.equal(cancelled.code, 0, cancelled.stderr)
    const { state, handled } = JSON.parse(cancelled.stdout).operation
    assert.equal(state, 'cancelled')
    await operator.outputIds(handled)
    await operator.untilListed('processed', handled)
    assert.equal((await operator.listed('--state', 'dead')).length, 30 - handled)
    assert.equal((await operator.dlq('redrive', '--yes')).code, 0)
    assert.deepEqual(await operator.outputIds(30), ids)
  })

  it('who redrive the same selection at once send nothing twice (W1)', async () => {
    const ids = await operator.deadEvents(40)
    operator.isBroken = () => false
    const args = [...operator.args('redrive'), '--yes', '--rate', '20']
    const ends = await Promise.all([operator.cli.run(args), operator.cli.run(args), operator.cli.run(args)])
    const codes = ends.map(({ code }) => code).sort()
    assert.ok(codes.includes(0), ends.map(({ stderr }) => stderr).join('\n'))
    for (const { code, stderr } of ends.filter(({ code }) => code === 1))
      assert.match(stderr, /^SP_OPERATION_OPEN/, String(code))
    assert.ok(
      codes.every(code => code === 0 || code === 1 || code === 3),
      codes.join(),
    )
    assert.deepEqual(await operator.outputIds(40), ids)
    assert.equal((await operator.own('redrive')).length, 40)
  })

  it('who take a running operation up fence its runner, and nothing is sent twice (W2)', async () => {
    const { ids, running } = await slowRedrive(40)
    const taken = await operator.dlq('redrive', '--resume', await holder(), '--yes')
    assert.equal(taken.code, 0, taken.stderr)
    const fenced = await running.ended
    assert.equal(fenced.code, 1)
    assert.match(
      fenced.stderr,
      /SP_OPERATION_CLOSED: operation \d+ was finished|SP_FENCED: operation \d+ was taken up/,
    )
    assert.deepEqual(await operator.outputIds(40), ids)
    assert.equal((await operator.own('redrive')).length, 40)
  })
})
