/** Pauses that last longer than the dedupe window: an operator's, a frozen process, a processor that does not run. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Event } from '@sallyport/core/event'
import { partitionOf } from '@sallyport/core/partition'
import type { Handler } from '@sallyport/processor'
import { committedRecords } from '../support/committed.ts'
import { eventOf, eventOn, type RawRecord, Topics } from '../support/events.ts'
import {
  agentEvent,
  PARTITIONS,
  type TestProcessor,
  testProcessor,
  testSettings,
} from '../support/processor.ts'
import { ProcessorProcess } from '../support/processor-process.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { waitFor } from '../support/wait-for.ts'

const AGENT = fileURLToPath(new URL('../support/agents/outage-agent.ts', import.meta.url))
const WINDOW_MS = 2_000

describe('a pause longer than the window', function () {
  this.timeout(120_000)
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

  /** A processor whose first attempt at an event that says `slow` fails. */
  function failingOnce(delay: string, window: string, onFailure = () => {}): TestProcessor {
    const settings = testSettings(`window: ${window}`)
    const handler: Handler = (event, { attempt, emit }) => {
      if (attempt === 1 && String(event.body).includes('slow')) {
        onFailure()
        throw new Error('not yet')
      }
      emit(made.output, agentEvent(event.id, attempt))
    }
    const processing = { ...settings.processing, lagIntervalMs: 100 }
    const made = testProcessor(connection, handler, { retry: [delay] }, { ...settings, processing })
    processor = made
    return made
  }

  const isOf = (event: Event) => (record: RawRecord) => record.key === event.id

  async function assertOutputs(output: string, events: readonly Event[]): Promise<void> {
    const keys = (await topics.readAll(output)).map(({ key }) => key)
    assert.deepEqual(keys.sort(), events.map(({ id }) => id).sort())
  }

  /** How often an event was sent to a tier: once, unless an attempt was made that should not have been. */
  async function hops(tier: string, event: Event): Promise<number> {
    return (await committedRecords(connection, tier)).filter(({ key }) => String(key) === event.id).length
  }

  it('of an operator loses nothing and doubles nothing that waits; what repeats an event from before it is new, and that is said', async () => {
    // Timeline: one event is processed, another waits in a tier; the processor is paused; both come again, and two new
    // ones come twice; more than a window passes, and the tier's event is long due; the processor is resumed. Proves:
    // PENDING claims and positions are written again meanwhile; each event that waited takes effect once; the claim of
    // the one from before has expired, as SP_BEHIND_WINDOW says.
    let pause = () => {}
    const { config, source, output, lines, start } = failingOnce('500ms', `${WINDOW_MS}ms`, () => pause())
    const running = await start()
    const gate = running.gates.get(config.name)
    // Before its retry can be due.
    pause = () => gate?.hold('paused')
    const [before, waiting] = [eventOf(source, {}), eventOf(source, { slow: true })]
    await topics.append([before])
    await topics.read(output, isOf(before), 1)
    await topics.append([waiting])
    const retry = config.topics.retry[0] as string
    const [hop] = await topics.read(retry, isOf(waiting), 1)
    pause = () => {}
    // The events of earlier tests, which it passed over at its start, were older than the window, too.
    const said = lines.length
    const fresh = [eventOf(source, {}), eventOf(source, { slow: true })]
    await topics.append([before, waiting, ...fresh, ...fresh])
    await waitFor(() => lines.slice(said).some(line => line.includes('SP_BEHIND_WINDOW')))
    await sleep((hop?.timestamp ?? 0) + 3 * WINDOW_MS - Date.now())
    const later = ({ timestamp }: RawRecord) => timestamp > (hop?.timestamp ?? 0) + WINDOW_MS
    const written = await topics.readAll(config.topics.claims, later)
    assert.ok(written.some(isOf(waiting)), 'the PENDING claim was written again')
    const places = new Set(
      written.filter(({ key }) => key === '#positions').map(({ partition }) => partition),
    )
    assert.equal(places.size, PARTITIONS, 'the positions were written again')
    gate?.release('paused')
    await topics.read(output, () => true, 5)
    await sleep(1_000)
    await assertOutputs(output, [before, before, waiting, ...fresh])
  })

  it('in which no process runs, so that retention takes the claims, loses no retry and runs it once', async () => {
    // Timeline: an event fails and waits in a tier; the processor stops; its claims and positions expire; the processor
    // starts; the event comes again. Proves: positions fall back to the group's offsets, and a retry without a claim is
    // accepted (nothing else would bring the event back) and claims the id anew.
    const { config, source, output, start } = failingOnce('1s', '1h')
    const running = await start()
    const waiting = eventOf(source, { slow: true })
    await topics.append([waiting])
    await topics.read(config.topics.retry[0] as string, isOf(waiting), 1)
    await running.drain(2_000)
    const kept = await topics.readAll(config.topics.claims)
    const places = new Map(kept.map(({ partition, key }) => [`${partition} ${key}`, { partition, key }]))
    await topics.appendRaw(
      config.topics.claims,
      [...places.values()].map(place => ({ ...place, value: null })),
    )
    await start()
    await topics.read(output, isOf(waiting), 1)
    const last = eventOn(partitionOf(Buffer.from(waiting.id), PARTITIONS), PARTITIONS, source, {})
    await topics.append([waiting, last])
    await topics.read(output, isOf(last), 1)
    await assertOutputs(output, [waiting, last])
    assert.equal(await hops(config.topics.retry[0] as string, waiting), 1)
  })

  it('in which the process is frozen doubles nothing that was waiting or came meanwhile', async () => {
    // Timeline: the only process has an event in a tier; it is frozen for longer than the window and the session
    // time-out, so that the group drops it; the event comes again, and new ones come; the process wakes before the
    // retry is due. Proves: it says that it stood still and joins again; the claim of what waits has not expired, and
    // each event takes effect once.
    const name = `test-${randomBytes(5).toString('hex')}`
    const output = `sallyport.${name}.out`
    const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-frozen-'))
    const file = path.join(folder, 'sallyport.yaml')
    writeFileSync(
      file,
      `window: ${WINDOW_MS}ms
topics: { partitions: ${PARTITIONS} }
processing: { sessionTimeout: 6s, transactionTimeout: 5s, schemaDoubt: 500ms }
sources: { crm: { preset: github, secrets: ['\${env:X}'] } }
processors: [{ module: ${JSON.stringify(AGENT)}, retry: [20s, 1ms] }]
`,
    )
    const frozen = new ProcessorProcess(connection, file, { TEST_PROCESSOR_NAME: name })
    try {
      await frozen.said('acquired', PARTITIONS)
      // Of the agent's events every tenth fails twice.
      const waiting = eventOf(name, { i: 0 })
      await topics.append([waiting])
      await topics.read(`sallyport.${name}.retry.1`, isOf(waiting), 1)
      frozen.signal('SIGSTOP')
      const fresh = Array.from({ length: 9 }, (_, i) => eventOf(name, { i: i + 1 }))
      await topics.append([waiting, ...fresh])
      await sleep(8_000)
      frozen.signal('SIGCONT')
      await topics.read(output, () => true, fresh.length + 1)
      await waitFor(() => frozen.lines.some(line => String(line.msg).includes('SP_BLOCKED')))
      const last = eventOf(name, { i: 1 })
      await topics.append([last])
      await topics.read(output, isOf(last), 1)
      await assertOutputs(output, [waiting, ...fresh, last])
      assert.equal(await hops(`sallyport.${name}.retry.1`, waiting), 1)
    } finally {
      await frozen.kill()
      rmSync(folder, { recursive: true })
    }
  })
})
