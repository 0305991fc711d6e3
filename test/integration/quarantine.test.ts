import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createLog } from '@sallyport/core/log'
import type { AttemptResult } from '@sallyport/processor/attempt'
import { Quarantine } from '@sallyport/processor/quarantine'
import { eventOf } from '../support/events.ts'

const AGENT = fileURLToPath(new URL('../support/agents/loose-agent.ts', import.meta.url))
/** How long a handler may compute, ms; long enough for a process to start on a busy machine. */
const HANG_MS = 5_000

describe('a quarantine', function () {
  this.timeout(120_000)
  const silent = createLog('test', { write() {} })
  const before = process.env.NODE_OPTIONS
  let quarantine: Quarantine

  beforeEach(() => {
    process.env.NODE_OPTIONS = '--max-old-space-size=64'
    const settings = {
      entry: { module: AGENT, timeout: '20s' },
      schemaIds: new Map([['sallyport.loose-agent.out', 7]]),
      partitions: 4,
      limits: { recordBytesMax: 1_000_000, emitBytesMax: 1_000_000, transactionPartitionsMax: 10 },
    }
    quarantine = new Quarantine(settings, 'loose-agent', HANG_MS, silent)
  })
  afterEach(() => {
    if (before === undefined) delete process.env.NODE_OPTIONS
    else process.env.NODE_OPTIONS = before
    quarantine.close()
  })

  function run(leave: string, signal = new AbortController().signal, alone = false): Promise<AttemptResult> {
    return quarantine.run({
      attempt: {
        event: eventOf('crm', { leave }),
        round: { generation: 0, attempt: 1 },
        epoch: 1,
        partition: 0,
        span: { traceId: '0'.repeat(32), spanId: '0'.repeat(16), traceFlags: 0 },
      },
      alone,
      signal,
      here: async () => ({ kind: 'succeeded', outputs: [] }),
    })
  }

  function codeOf(result: AttemptResult): string {
    return result.kind === 'failed' ? result.failure.code : result.kind
  }

  it('gives an attempt the result that it would have had here, with what it emitted as bytes', async () => {
    const [done, failed] = await Promise.all([run('nothing'), run('a rejection')])
    assert.ok(done.kind === 'succeeded')
    assert.ok(Buffer.isBuffer(done.outputs[0]?.value))
    assert.deepEqual(
      [done.outputs[0]?.topic, done.outputs[0]?.value.readInt32BE(1)],
      ['sallyport.loose-agent.out', 7],
    )
    assert.equal(codeOf(failed), 'SP_HANDLER_FAILED')
  })

  for (const leave of ['no process', 'no heap', 'no end', 'a throwing timer']) {
    it(`charges the attempt that leaves ${leave}, and none of those beside it (H4)`, async () => {
      const innocents = [1, 2, 3, 4].map(() => run('nothing, slowly'))
      const guilty = run(leave)
      assert.deepEqual((await Promise.all(innocents)).map(codeOf), Array(4).fill('succeeded'))
      assert.equal(codeOf(await guilty), 'SP_HANDLER_CRASHED')
    })
  }

  it('does not charge an attempt that is kept from its end by another one’s computation, also past its deadline', async () => {
    const slow = run('nothing, slowly')
    const [alone, other] = await Promise.all([run('no end', undefined, true), slow])
    assert.deepEqual([codeOf(alone), codeOf(other)], ['SP_HANDLER_CRASHED', 'succeeded'])
  })

  it('abandons an attempt that nobody wants any more, and charges nobody (H5)', async () => {
    const task = new AbortController()
    const running = run('no end', task.signal)
    await sleep(2_000)
    task.abort()
    assert.equal(codeOf(await running), 'abandoned')
    assert.equal(codeOf(await run('nothing')), 'succeeded')
  })

  it('runs one process at a time, which ends when it has nothing to do (H6)', async () => {
    const processes = () => process.getActiveResourcesInfo().filter(name => name === 'ProcessWrap').length
    // Other tests of this process have brokers.
    const before = processes()
    await Promise.all([run('nothing'), run('nothing', undefined, true), run('nothing')])
    assert.ok(processes() <= before + 1)
  })
})
