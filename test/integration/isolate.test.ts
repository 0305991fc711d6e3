/** `sallyport processor --isolate`: what one processor does to its process touches no other. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { eventOf, Topics } from '../support/events.ts'
import { PARTITIONS } from '../support/processor.ts'
import { type LogLine, ProcessorProcess } from '../support/processor-process.ts'
import { memberCount, rawKafka } from '../support/raw-kafka.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { waitFor } from '../support/wait-for.ts'

const AGENT = fileURLToPath(new URL('../support/agents/loose-agent.ts', import.meta.url))

describe('isolated processors', function () {
  this.timeout(180_000)
  let topics: Topics
  let connection: Awaited<ReturnType<typeof sharedCluster>>
  let name: string
  let other: string
  let folder: string
  let supervisor: ProcessorProcess

  before(async () => {
    connection = await sharedCluster()
    topics = new Topics(connection, PARTITIONS)
  })
  after(() => topics.close())
  beforeEach(() => {
    name = `test-${randomBytes(5).toString('hex')}`
    other = `${name}-other`
    folder = mkdtempSync(path.join(tmpdir(), 'sallyport-isolate-'))
    const fields = `name: '${other}', version: '1', sources: ['${other}'], retry: [], timeout: '10s', concurrency: 1`
    writeFileSync(
      path.join(folder, 'other.mjs'),
      `export default { ${fields}, outputs: {}, async handler(event) {
  console.log(JSON.stringify({ msg: 'the other handler runs', event: event.id, in: process.pid, long: 'x'.repeat(100000) }))
  await new Promise(resolve => setTimeout(resolve, 200))
} }\n`,
    )
    writeFileSync(
      path.join(folder, 'sallyport.yaml'),
      `topics: { partitions: ${PARTITIONS} }
processing: { sessionTimeout: 6s, transactionTimeout: 5s, schemaDoubt: 500ms, drainTimeout: 5s, hangTimeout: 20s, adminPort: 0 }
sources: { crm: { preset: github, secrets: ['\${env:X}'] } }
processors: ${JSON.stringify([AGENT, './other.mjs'])}
`,
    )
    supervisor = new ProcessorProcess(
      connection,
      path.join(folder, 'sallyport.yaml'),
      { TEST_PROCESSOR_NAME: name },
      ['--isolate'],
    )
  })
  afterEach(async () => {
    await supervisor.kill()
    rmSync(folder, { recursive: true })
  })

  const linesOf = (processor: string, msg: string): LogLine[] =>
    supervisor.lines.filter(line => line.processor === processor && line.msg === msg)

  for (const [leave, how] of [
    ['no process', /ended unasked \(exit code 0\)|ended unasked/],
    ['no end', /does not answer for \d+ s: it is killed/],
  ] as const) {
    it(`one that leaves ${leave} is started again, and finds out which event it was; the other one goes on in its process`, async () => {
      await supervisor.said('acquired', 2 * PARTITIONS)
      const event = eventOf(name, { leave })
      await topics.append([event])
      await supervisor.said('the handler runs', 1)
      const others = [1, 2, 3].map(() => eventOf(other, {}))
      await topics.append(others)
      const runs = await supervisor.said('the other handler runs', others.length)
      const [dead] = await topics.read(`sallyport.${name}.dead-letter`, () => true, 1, 120_000)
      assert.deepEqual([dead?.key, dead?.headers['sallyport-reason']], [event.id, 'crashed'])
      assert.ok(supervisor.lines.some(({ processor, msg }) => processor === name && how.test(String(msg))))
      assert.equal(linesOf(other, 'joined the group').length, 1)
      await topics.append([eventOf(other, {})])
      const [last] = (await supervisor.said('the other handler runs', others.length + 1)).slice(-1)
      assert.equal(last?.in, runs[0]?.in)
      assert.equal(supervisor.ended, null)
    })
  }

  it('drains each at SIGTERM and ends with 0; its metrics are those of all of them', async () => {
    const [{ adminUrl } = { adminUrl: '' }] = await supervisor.said('the operators’ listener is open', 1)
    await supervisor.said('acquired', 2 * PARTITIONS)
    await topics.append([eventOf(name, { leave: 'nothing' }), eventOf(other, {})])
    await topics.read(`sallyport.${name}.out`, () => true, 1)
    await supervisor.said('the other handler runs', 1)
    await waitFor(async () => (await fetch(`${adminUrl}/health/ready`)).status === 200)
    await waitFor(async () => {
      const text = await (await fetch(`${adminUrl}/metrics`)).text()
      return [name, other].every(one =>
        text.includes(`sallyport_processor_attempt_seconds_count{processor="${one}"} 1`),
      )
    })
    await supervisor.kill('SIGTERM')
    assert.equal(supervisor.ended, 0)
    for (const one of [name, other]) {
      assert.equal(await memberCount(rawKafka(connection.brokers), `sallyport.${one}`), 0)
    }
  })

  it('a module that cannot be loaded ends it with 1 and its code, and starts nothing', async () => {
    await supervisor.kill()
    writeFileSync(path.join(folder, 'other.mjs'), 'throw new Error("not today")\n')
    supervisor = new ProcessorProcess(connection, path.join(folder, 'sallyport.yaml'), {}, ['--isolate'])
    await waitFor(() => supervisor.ended !== null, 60_000)
    assert.equal(supervisor.ended, 1)
  })
})
