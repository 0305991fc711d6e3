/** Runs a processor in the test's process, on a real broker, with a name and a source of its own. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Connection } from '@sallyport/core/connection'
import { createLog } from '@sallyport/core/log'
import { loadSettings, type Settings } from '@sallyport/core/settings'
import { defineProcessor, type Handler, type ProcessorDefinition } from '@sallyport/processor'
import { configure, type ProcessorConfig } from '@sallyport/processor/config'
import { type RunningProcessors, runProcessors } from '@sallyport/processor/main'

export const PARTITIONS = 4

export interface TestProcessor {
  readonly config: ProcessorConfig
  readonly source: string
  readonly output: string
  /** Lines of its log, from level info on. */
  readonly lines: readonly string[]
  /** Starts it, as one more process of the same group would. */
  start(): Promise<RunningProcessors>
  /** The same with other settings. */
  startWith(settings: Settings): Promise<RunningProcessors>
  /** Drains everything that was started. */
  stop(): Promise<void>
}

/** Settings for tests: few partitions, short time-outs. */
export function testSettings(extra = ''): Settings {
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-test-'))
  const file = path.join(folder, 'sallyport.yaml')
  writeFileSync(
    file,
    `topics: { partitions: ${PARTITIONS} }
processing: { sessionTimeout: 6s, transactionTimeout: 5s, schemaDoubt: 500ms }
sources:
  crm:
    scheme: { header: X-Webhook-Signature, algorithm: hmac-sha256, encoding: hex }
    secrets: ['\${env:CRM_WEBHOOK_SECRET}']
${extra}`,
  )
  return loadSettings(file, {})
}

export function testProcessor(
  connection: Connection,
  handler: Handler,
  definition: Partial<Omit<ProcessorDefinition, 'name' | 'handler'>> = {},
  settings: Settings = testSettings(),
  name = `test-${randomBytes(5).toString('hex')}`,
): TestProcessor {
  const output = `sallyport.${name}.out`
  const processor = defineProcessor({
    name,
    sources: [name],
    retry: ['300ms', '600ms'],
    outputs: { [output]: 'agent-event.v1' },
    ...definition,
    handler,
  })
  const config = configure(processor, {})
  const lines: string[] = []
  const log = createLog('test', {
    write(line) {
      lines.push(line)
      if (process.env.LOG_LEVEL !== undefined) process.stdout.write(line)
    },
  })
  log.level = process.env.LOG_LEVEL ?? 'info'
  const started: RunningProcessors[] = []
  async function startWith(settings: Settings): Promise<RunningProcessors> {
    const running = runProcessors([config], settings, connection, log)
    started.push(running)
    await running.ready
    return running
  }
  return {
    config,
    source: name,
    output,
    lines,
    start: () => startWith(settings),
    startWith,
    async stop() {
      await Promise.all(started.map(running => running.drain(2_000)))
    },
  }
}

/** What the test handlers emit. */
export function agentEvent(eventId: string, attempt: number) {
  return { eventId, agentId: 'a', status: 'open', attempt, processedAt: Date.now() }
}
