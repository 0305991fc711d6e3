import { errorMessage } from '@sallyport/core/errors'
import { alterTopics, ensureTopics, inspectTopics } from '@sallyport/core/kafka/admin'
import { createKafka } from '@sallyport/core/kafka/client'
import { loadSettings } from '@sallyport/core/settings'
import { AUDIT_TOPIC } from '@sallyport/core/topics'
import { EXIT } from '../exit.ts'
import { commandLog, connectionOf } from '../kafka-options.ts'
import { openDesk } from '../operations/desk.ts'
import { note, print, printDocument, table } from '../output.ts'
import { provisionOf } from '../provision-of.ts'
import type { SetupOptions } from '../setup-options.ts'

/** A topic, and what has to be done to it. */
interface Change {
  readonly topic: string
  /** null: the topic is created. */
  readonly setting: string | null
  readonly found: string | null
  readonly wanted: string | null
}

/** `sallyport topics plan`. */
export async function planTopics(options: SetupOptions): Promise<void> {
  const { kafka, specs, file } = await prepare(options)
  const { missing, differences } = await inspectTopics(kafka, specs)
  const changes: Change[] = [...missing.map(created), ...differences]
  await report(changes, options.json, `${specs.length} topics are as ${file} says`)
  if (changes.length > 0) process.exitCode = EXIT.findings
}

/** `sallyport topics apply`. */
export async function applyTopics(options: SetupOptions): Promise<void> {
  const { kafka, specs, file } = await prepare(options)
  const { missing } = await inspectTopics(kafka, specs)
  const altered = await alterTopics(kafka, specs)
  await ensureTopics(kafka, specs)
  await keepAuditShort(options)
  await report([...missing.map(created), ...altered], options.json, '')
  if (!options.json) await print(`${specs.length} topics are as ${file} says`)
}

/** An audit that is older than its checkpoints is read whole by everybody, until one is written. */
async function keepAuditShort(options: SetupOptions): Promise<void> {
  const desk = await openDesk(connectionOf(options, process.env), commandLog('topics'))
  try {
    await desk.audit.keepShort()
  } catch (error) {
    // The topics are as they should be, and whoever appends next writes it.
    note(`${AUDIT_TOPIC} has no checkpoint yet: ${errorMessage(error)}`)
  } finally {
    await desk.close()
  }
}

async function prepare(options: SetupOptions) {
  const settings = loadSettings(options.config, process.env)
  const kafka = createKafka(connectionOf(options, process.env), 'sallyport-topics', commandLog('topics'))
  return { kafka, specs: (await provisionOf(settings)).topics, file: settings.file }
}

function created(topic: string): Change {
  return { topic, setting: null, found: null, wanted: null }
}

async function report(changes: readonly Change[], json: boolean, none: string): Promise<void> {
  if (json) return await printDocument(changes)
  if (changes.length === 0) return none === '' ? undefined : await print(none)
  const rows = changes.map(({ topic, setting, found, wanted }) =>
    setting === null ? [topic, 'create', ''] : [topic, setting, `${found} → ${wanted}`],
  )
  for (const line of table(['topic', 'change', 'from → to'], rows)) await print(line)
}
