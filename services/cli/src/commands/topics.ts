import { alterTopics, ensureTopics, inspectTopics } from '@sallyport/core/kafka/admin'
import { createKafka } from '@sallyport/core/kafka/client'
import { loadSettings } from '@sallyport/core/settings'
import type { Command } from 'commander'
import { EXIT } from '../exit.ts'
import type { GrowOptions } from '../grow/grow.ts'
import { commandLog, connectionOf } from '../kafka-options.ts'
import { print, printDocument, table } from '../output.ts'
import { provisionOf } from '../provision-of.ts'
import { declareSetupOptions, type SetupOptions } from '../setup-options.ts'

/** A topic, and what has to be done to it. */
interface Change {
  readonly topic: string
  /** null: the topic is created. */
  readonly setting: string | null
  readonly found: string | null
  readonly wanted: string | null
}

const PLAN_EXAMPLES = `
Examples:
  sallyport topics plan
  sallyport topics plan --json -c production.yaml --brokers kafka:9092

Ends with 4 where apply would change something. More partitions are given by topics grow.`

const GROW_EXAMPLES = `
Stop the ingresses, let the processors run until sallyport lag shows nothing behind, stop them, set topics.partitions.
What senders repeat of the time before still counts once. Whatever ends a run half-way, the same command goes on.

Examples:
  sallyport topics grow                 the plan; nothing is done
  sallyport topics grow --yes

Ends with 4 where something is in the way, and says what to do about it.`

/** `sallyport topics plan|apply|grow`: what the topics are, and making them what the settings say. */
export function register(program: Command): void {
  const topics = program.command('topics').description('the topics of the settings file')
  declareSetupOptions(topics.command('plan'))
    .description('say what apply would create and change; changes nothing')
    .addHelpText('after', PLAN_EXAMPLES)
    .action(plan)
  declareSetupOptions(topics.command('apply'))
    .description('create missing topics and set the configuration of existing ones')
    .addHelpText('after', '\nExample:\n  sallyport topics apply --brokers kafka:9092')
    .action(apply)
  declareSetupOptions(topics.command('grow'))
    .description('give the topics as many partitions as the settings say: the plan, then --yes')
    .option('-y, --yes', 'run what the plan says')
    .addHelpText('after', GROW_EXAMPLES)
    .action(async (options: GrowOptions) => await (await import('../grow/grow.ts')).grow(options))
}

async function plan(options: SetupOptions): Promise<void> {
  const { kafka, specs, file } = await prepare(options)
  const { missing, differences } = await inspectTopics(kafka, specs)
  const changes: Change[] = [...missing.map(created), ...differences]
  await report(changes, options.json, `${specs.length} topics are as ${file} says`)
  if (changes.length > 0) process.exitCode = EXIT.findings
}

async function apply(options: SetupOptions): Promise<void> {
  const { kafka, specs, file } = await prepare(options)
  const { missing } = await inspectTopics(kafka, specs)
  const altered = await alterTopics(kafka, specs)
  await ensureTopics(kafka, specs)
  await report([...missing.map(created), ...altered], options.json, '')
  if (!options.json) await print(`${specs.length} topics are as ${file} says`)
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
