import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import type kafkajs from 'kafkajs'
import { eventOf, Topics } from '../support/events.ts'
import { PARTITIONS } from '../support/processor.ts'
import { ProcessorProcess } from '../support/processor-process.ts'
import { memberCount, rawAdmin, rawKafka } from '../support/raw-kafka.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { waitFor } from '../support/wait-for.ts'

const CLI = fileURLToPath(new URL('../../services/cli/src/main.ts', import.meta.url))
const AGENT = fileURLToPath(new URL('../support/agents/outage-agent.ts', import.meta.url))
const CONFIG = fileURLToPath(new URL('../../sallyport.yaml', import.meta.url))

/**
 * Settings that name the agent, or others beside it, and drain within a second, in a folder of their own, and a name for
 * the processor.
 */
function settingsFile(others: readonly string[] = []): { name: string; folder: string; file: string } {
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-stop-'))
  const file = path.join(folder, 'sallyport.yaml')
  writeFileSync(
    file,
    `topics: { partitions: ${PARTITIONS} }
processing: { sessionTimeout: 6s, transactionTimeout: 5s, drainTimeout: 1s, schemaDoubt: 500ms }
sources: { crm: { preset: github, secrets: ['\${env:X}'] } }
processors: ${JSON.stringify([AGENT, ...others])}
`,
  )
  return { name: `test-${randomBytes(5).toString('hex')}`, folder, file }
}

describe('a service that is asked to stop while it starts', function () {
  this.timeout(60_000)
  for (const service of ['ingress', 'processor']) {
    for (const afterMs of [1_500, 4_000]) {
      it(`${service}, ${afterMs} ms after its start, exits with 0`, async () => {
        const child = spawn(process.execPath, ['--no-warnings', CLI, service, '--config', CONFIG], {
          env: {
            ...process.env,
            KAFKA_BROKERS: '127.0.0.1:9',
            SCHEMA_REGISTRY_URL: 'http://127.0.0.1:9',
            CRM_WEBHOOK_SECRET: 'secret',
            SALLYPORT_INGRESS_PORT: '0',
            LOG_LEVEL: 'silent',
          },
          stdio: ['ignore', 'inherit', 'inherit'],
        })
        await sleep(afterMs)
        child.kill('SIGTERM')
        const [code, signal] = await once(child, 'exit')
        assert.deepEqual([code, signal], [0, null])
      })
    }
  }
})

describe('a processor that is asked to stop while its broker is frozen', function () {
  this.timeout(300_000)

  it('ends with 0 in its drain time-out and ten seconds more, and says what it leaves; nothing is lost', async () => {
    // Timeline: outcomes wait to be settled when the broker freezes, so that nothing answers and no connection breaks;
    // SIGTERM. Proves: neither the transaction, nor the handlers, nor leaving the group can keep the process.
    const cluster = await sharedCluster()
    const topics = new Topics(cluster, PARTITIONS)
    const { name, folder, file } = settingsFile()
    const start = () => new ProcessorProcess(cluster, file, { TEST_PROCESSOR_NAME: name })
    const events = Array.from({ length: 400 }, (_, i) => eventOf(name, { i }))
    const output = `sallyport.${name}.out`
    const stopped = start()
    try {
      await stopped.said('acquired', PARTITIONS)
      await topics.append(events)
      await topics.read(output, () => true, 1)
      cluster.pause(0)
      // Its attempts end meanwhile, and cannot be settled.
      await sleep(1_000)
      void stopped.kill('SIGTERM')
      await waitFor(() => stopped.ended !== null, 60_000)
    } finally {
      cluster.resume(0)
      await stopped.kill()
    }
    assert.equal(stopped.ended, 0)
    assert.ok(
      stopped.lines.some(({ msg }) =>
        String(msg).includes('what was not settled is read again by the next owner'),
      ),
    )
    const next = start()
    try {
      await topics.read(output, () => true, events.length, 120_000)
      const keys = (await topics.readAll(output)).map(({ key }) => key)
      assert.deepEqual(keys.sort(), events.map(({ id }) => id).sort())
    } finally {
      await next.kill()
      await topics.close()
      rmSync(folder, { recursive: true })
    }
  })
})

describe('a processor that is asked to stop while its handler hangs', function () {
  this.timeout(120_000)

  it('ends with 0 when its drain time-out is over; the event is attempted again by the next one', async () => {
    // Timeline: the only event's handler never ends and ignores its signal; SIGTERM; another process starts. Proves: the
    // process ends all the same, leaving its group, and nothing is lost.
    const cluster = await sharedCluster()
    const topics = new Topics(cluster, PARTITIONS)
    const { name, folder, file } = settingsFile()
    const output = `sallyport.${name}.out`
    const stuck = new ProcessorProcess(cluster, file, { TEST_PROCESSOR_NAME: name, TEST_HANDLER_HANGS: '1' })
    try {
      await stuck.said('acquired', PARTITIONS)
      await topics.append([eventOf(name, { i: 1 })])
      await stuck.said('the handler hangs', 1)
      void stuck.kill('SIGTERM')
      await waitFor(() => stuck.ended !== null, 60_000)
      assert.equal(stuck.ended, 0)
      assert.equal(await memberCount(rawKafka(cluster.brokers), `sallyport.${name}`), 0)
    } finally {
      await stuck.kill()
    }
    const next = new ProcessorProcess(cluster, file, { TEST_PROCESSOR_NAME: name })
    try {
      assert.equal((await topics.read(output, () => true, 1)).length, 1)
    } finally {
      await next.kill()
      await topics.close()
      rmSync(folder, { recursive: true })
    }
  })
})

describe('a process of two processors, one of which cannot go on', function () {
  this.timeout(120_000)

  it('ends with 1, and the other one has left its group: nobody waits for its session to expire', async () => {
    // Timeline: both run; the claims topic of one is deleted, which nothing but an operator can mend. Proves: the process
    // says so and ends, and its other processor is drained first.
    const cluster = await sharedCluster()
    const topics = new Topics(cluster, PARTITIONS)
    const { name, folder, file } = settingsFile(['./other.mjs'])
    const other = `${name}-other`
    const fields = `name: '${other}', version: '1', sources: ['${other}'], retry: [], timeout: '1s', concurrency: 1, outputs: {}`
    writeFileSync(path.join(folder, 'other.mjs'), `export default { ${fields}, handler() {} }\n`)
    const kafka = rawKafka(cluster.brokers)
    const both = new ProcessorProcess(cluster, file, { TEST_PROCESSOR_NAME: name })
    try {
      await both.said('acquired', 2 * PARTITIONS)
      await topics.append([eventOf(other, {}), eventOf(name, { i: 1 })])
      await topics.read(`sallyport.${name}.out`, () => true, 1)
      await untilCommitted(kafka, `sallyport.${other}`)
      await rawAdmin(kafka, admin => admin.deleteTopics({ topics: [`sallyport.${other}.claims`] }))
      await topics.append([eventOf(other, {})])
      await waitFor(() => both.ended !== null, 60_000)
      assert.equal(both.ended, 1)
      assert.equal(await memberCount(rawKafka(cluster.brokers), `sallyport.${name}`), 0)
    } finally {
      await both.kill()
      await topics.close()
      rmSync(folder, { recursive: true })
    }
  })
})

describe('a processor whose collector of spans gives no answer', function () {
  this.timeout(120_000)
  // What the exporter would wait by itself, ms: longer than this test.
  const patience = { OTEL_EXPORTER_OTLP_TIMEOUT: '600000', OTEL_BSP_EXPORT_TIMEOUT: '600000' }

  for (const { collector, isThere } of [
    { collector: 'hangs', isThere: true },
    { collector: 'is away', isThere: false },
  ]) {
    it(`ends with 0 after its drain, and says that spans are lost: it ${collector}`, async () => {
      // Timeline: an event is processed, and its spans wait to be exported; SIGTERM. Proves: exporting them cannot keep
      // the process, nor make its end look like a failure.
      const silent = createServer(() => {}).listen(0, '127.0.0.1')
      await once(silent, 'listening')
      const { port } = silent.address() as AddressInfo
      if (!isThere) silent.close()
      const cluster = await sharedCluster()
      const topics = new Topics(cluster, PARTITIONS)
      const { name, folder, file } = settingsFile()
      const processor = new ProcessorProcess(cluster, file, {
        ...patience,
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
        TEST_PROCESSOR_NAME: name,
      })
      try {
        await processor.said('acquired', PARTITIONS)
        await topics.append([eventOf(name, { i: 1 })])
        await topics.read(`sallyport.${name}.out`, () => true, 1)
        void processor.kill('SIGTERM')
        await waitFor(() => processor.ended !== null, 60_000)
      } finally {
        await processor.kill()
        await topics.close()
        silent.close()
        silent.closeAllConnections()
        rmSync(folder, { recursive: true })
      }
      assert.equal(processor.ended, 0)
      assert.ok(processor.lines.some(({ msg }) => String(msg).includes('the last spans did not reach')))
    })
  }
})

/** Resolves once a group has committed an offset of the events. */
async function untilCommitted(kafka: kafkajs.Kafka, groupId: string): Promise<void> {
  await rawAdmin(kafka, async admin => {
    for (;;) {
      const [committed] = await admin.fetchOffsets({ groupId, topics: [EVENTS_TOPIC] })
      if (committed?.partitions.some(({ offset }) => Number(offset) > 0)) return
      await sleep(100)
    }
  })
}
