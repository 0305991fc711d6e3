/** What handlers leave running, and what takes their process away: whose fault it is, and what goes on (H4, H5). */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseHistory } from '@sallyport/core/attempt'
import { eventOf, Topics } from '../support/events.ts'
import { PARTITIONS } from '../support/processor.ts'
import { type LogLine, ProcessorProcess } from '../support/processor-process.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { waitFor } from '../support/wait-for.ts'

const AGENT = fileURLToPath(new URL('../support/agents/loose-agent.ts', import.meta.url))

describe('what a handler leaves running', function () {
  this.timeout(120_000)
  let topics: Topics
  let name: string
  let folder: string
  let processes: ProcessorProcess[]
  let connection: Awaited<ReturnType<typeof sharedCluster>>

  before(async () => {
    connection = await sharedCluster()
    topics = new Topics(connection, PARTITIONS)
  })
  after(() => topics.close())
  beforeEach(() => {
    name = `test-${randomBytes(5).toString('hex')}`
    folder = mkdtempSync(path.join(tmpdir(), 'sallyport-loose-'))
    const settings = `topics: { partitions: ${PARTITIONS} }
processing: { sessionTimeout: 6s, transactionTimeout: 5s, schemaDoubt: 500ms, drainTimeout: 5s, hangTimeout: 6s }
sources: { crm: { preset: github, secrets: ['\${env:X}'] } }
processors: ${JSON.stringify([AGENT])}
`
    writeFileSync(path.join(folder, 'sallyport.yaml'), settings)
    processes = []
  })
  afterEach(async () => {
    for (const one of processes) await one.kill()
    rmSync(folder, { recursive: true })
  })

  async function start(): Promise<ProcessorProcess> {
    const one = new ProcessorProcess(connection, path.join(folder, 'sallyport.yaml'), {
      TEST_PROCESSOR_NAME: name,
      NODE_OPTIONS: '--max-old-space-size=128',
    })
    processes.push(one)
    await one.said('acquired', PARTITIONS)
    return one
  }

  function leaving(leave: string) {
    return eventOf(name, { leave })
  }

  function runsOf(leave: string): LogLine[] {
    return processes
      .flatMap(({ lines }) => lines)
      .filter(line => line.msg === 'the handler runs' && line.leave === leave)
  }

  const any = () => true
  const isSuspicious = ({ msg }: LogLine) => String(msg).startsWith('the last owner ended without draining')

  it('a rejection fails the attempt that it belongs to; the process goes on', async () => {
    const one = await start()
    await topics.append([leaving('nothing, slowly'), leaving('a rejection')])
    await topics.read(`sallyport.${name}.out`, any, 2)
    assert.deepEqual(
      runsOf('a rejection').map(({ attempt }) => attempt),
      [1, 2],
    )
    assert.equal(runsOf('nothing, slowly').length, 1)
    const [retried] = await topics.read(`sallyport.${name}.retry.1`, any, 1)
    const history = parseHistory(String(retried?.headers['sallyport-history']))
    assert.match(`${history[0]?.code} ${history[0]?.message}`, /^SP_HANDLER_FAILED nobody awaits this/)
    assert.equal(one.ended, null)
  })

  it('a rejection after the end is a fault of the processor that is said; the outcome stands', async () => {
    const one = await start()
    const event = leaving('a late rejection')
    await topics.append([event])
    await topics.read(`sallyport.${name}.out`, any, 1)
    const isFault = (line: LogLine) => String(line.msg).startsWith('SP_HANDLER_LOOSE_END')
    await waitFor(() => one.lines.some(isFault))
    const fault = one.lines.find(isFault)
    assert.deepEqual([fault?.level, fault?.processor, fault?.event], ['error', name, event.id])
    assert.equal(one.ended, null)
    assert.equal(runsOf('a late rejection').length, 1)
  })

  it('an exception in a timer fails its attempt; the process settles what else it runs, and ends with 70', async () => {
    // Timeline: a slow handler is under way when the timer of another one throws. Proves: what is under way is finished
    // and settled, not run again; the attempt that left the timer is charged with the end of the process.
    const one = await start()
    await topics.append([leaving('nothing, slowly')])
    await one.said('the handler runs', 1)
    await topics.append([leaving('a throwing timer')])
    await waitFor(() => one.ended !== null, 30_000)
    assert.equal(one.ended, 70)
    const [retried] = await topics.read(`sallyport.${name}.retry.1`, any, 1)
    const [failure] = parseHistory(String(retried?.headers['sallyport-history']))
    assert.deepEqual([failure?.code, failure?.message], ['SP_HANDLER_CRASHED', 'thrown in a timer'])
    await topics.read(`sallyport.${name}.out`, any, 1)
    assert.equal(runsOf('nothing, slowly').length, 1)
  })

  it('an event that has ended its process three times is in the dead letter, with its history', async () => {
    await start()
    await topics.append([leaving('a throwing timer')])
    const reading = topics.read(`sallyport.${name}.dead-letter`, any, 1, 90_000)
    let dead: Awaited<typeof reading>[number] | undefined
    void reading.then(letters => {
      dead = letters[0]
    })
    await waitFor(() => {
      if (dead === undefined && processes.every(({ ended }) => ended !== null)) void start()
      return dead !== undefined
    }, 90_000)
    assert.deepEqual(
      processes.map(({ ended }) => ended),
      [70, null],
    )
    assert.equal(dead?.headers['sallyport-reason'], 'crashed')
    assert.equal(dead?.headers['sallyport-code'], 'SP_HANDLER_CRASHED')
    const history = parseHistory(String(dead?.headers['sallyport-history']))
    assert.deepEqual(
      history.map(({ attempt, code }) => [attempt, code]),
      [1, 2, 3].map(attempt => [attempt, 'SP_HANDLER_CRASHED']),
    )
  })

  for (const [leave, how] of Object.entries({
    'no process': 'exit code 0',
    'no heap': 'SIG(ABRT|TRAP|KILL)|exit code',
    'no end': 'it did not answer',
  })) {
    it(`a handler that leaves ${leave} ends its process once: the next owner finds out which it was, and lives`, async () => {
      // Timeline: five events are under way when the handler of one of them takes the process away, with nothing left to
      // tell of it. Proves: the next owner charges that one alone, three times, and none of the others.
      const one = await start()
      await topics.append([1, 2, 3, 4].map(() => leaving('nothing, slowly')))
      await one.said('the handler runs', 4)
      const event = leaving(leave)
      await topics.append([event])
      if (leave === 'no end') {
        await one.said('the handler runs', 5)
        await one.kill()
      }
      await waitFor(() => one.ended !== null, 60_000)
      const next = await start()
      const [dead] = await topics.read(`sallyport.${name}.dead-letter`, any, 1, 90_000)
      assert.deepEqual([dead?.key, dead?.headers['sallyport-reason']], [event.id, 'crashed'])
      const history = parseHistory(String(dead?.headers['sallyport-history']))
      assert.equal(history.length, 3)
      for (const { code, message } of history) {
        assert.equal(code, 'SP_HANDLER_CRASHED')
        assert.match(message, new RegExp(how))
      }
      await topics.read(`sallyport.${name}.out`, any, 4)
      assert.equal((await topics.readAll(`sallyport.${name}.retry.1`)).length, 1)
      assert.equal(next.ended, null)
    })
  }

  it('a process that is killed from outside charges nobody; the events that it had are made in quarantine', async () => {
    const one = await start()
    await topics.append([leaving('nothing, slowly')])
    await one.said('the handler runs', 1)
    await one.kill()
    const next = await start()
    await waitFor(() => next.lines.some(isSuspicious))
    const [output] = await topics.read(`sallyport.${name}.out`, any, 1)
    assert.equal((output?.value as { attempt?: number } | undefined)?.attempt ?? 1, 1)
    assert.equal((await topics.readAll(`sallyport.${name}.retry.1`)).length, 0)
  })

  it('an owner that has drained, or lives on and has lost the partition, leaves no suspicion', async () => {
    const one = await start()
    await topics.append([leaving('nothing, slowly')])
    await topics.read(`sallyport.${name}.out`, any, 1)
    const two = new ProcessorProcess(connection, path.join(folder, 'sallyport.yaml'), {
      TEST_PROCESSOR_NAME: name,
    })
    processes.push(two)
    await two.said('acquired', PARTITIONS / 2)
    await one.kill('SIGTERM')
    await two.said('acquired', PARTITIONS)
    assert.ok(!two.lines.some(isSuspicious))
  })

  it('an exception after the end of its attempt is said; the process drains and ends with 70, and the outcome stands', async () => {
    const one = await start()
    await topics.append([leaving('a throwing timer behind it')])
    await waitFor(() => one.ended !== null, 30_000)
    assert.equal(one.ended, 70)
    assert.ok(one.lines.some(({ msg }) => String(msg).startsWith('SP_HANDLER_LOOSE_END')))
    await start()
    await topics.read(`sallyport.${name}.out`, any, 1)
    assert.equal(runsOf('a throwing timer behind it').length, 1)
  })
})
