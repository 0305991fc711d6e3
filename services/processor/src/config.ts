import { pathToFileURL } from 'node:url'
import { type AvroSchema, loadSchema } from '@sallyport/core/codec'
import { durationMs } from '@sallyport/core/duration'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { type Provision, sharedProvision, valueSubject } from '@sallyport/core/provision'
import { type ProcessorEntry, type Settings, topicPlan } from '@sallyport/core/settings'
import { type ProcessorTopics, processorTopicSpecs, processorTopics } from '@sallyport/core/topics'
import type { BreakerSettings } from './breaker.ts'
import type { FailureTable } from './failure.ts'
import type { BreakerDefinition, FailureRule, Handler, Processor } from './index.ts'
import { checkTimeout } from './windows.ts'

/** A processor as it runs: the module's definition with what `sallyport.yaml` says over it. */
export interface ProcessorConfig {
  readonly name: string
  readonly version: string
  /** The consumer group. */
  readonly groupId: string
  /** null: all sources. */
  readonly sources: ReadonlySet<string> | null
  /** Delays of the retry tiers, ms. */
  readonly delaysMs: readonly number[]
  readonly timeoutMs: number
  /** Handlers at once in this process. */
  readonly concurrency: number
  readonly breaker: BreakerSettings
  readonly failures: FailureTable
  /** Where it begins when it has never run. */
  readonly start: 'earliest' | 'latest'
  readonly outputs: ReadonlyMap<string, AvroSchema>
  readonly settings: Readonly<Record<string, unknown>>
  readonly handler: Handler
  readonly topics: ProcessorTopics
  /** What another process needs to load it; undefined where it is no module. */
  readonly entry?: ProcessorEntry
}

/** As `sallyport.yaml` has it; a dead letter's history has room for every attempt. */
const TIERS_MAX = 16
/** Longest run of one attempt, ms: a day. */
const TIMEOUT_MS_MAX = 86_400_000
/** Longest pause of a breaker, ms: a day. */
const PAUSE_MS_LIMIT = 86_400_000

export const CLAIM_SCHEMA: AvroSchema = loadSchema('claim.v1')
export const POSITIONS_SCHEMA: AvroSchema = loadSchema('positions.v1')
export const BARRIER_SCHEMA: AvroSchema = loadSchema('barrier.v1')

/** The processors of `sallyport.yaml`, or those of them that are named. Throws `SP_PROCESSOR` or `SP_SETTINGS`. */
export async function loadProcessors(
  settings: Settings,
  names: readonly string[] = [],
): Promise<ProcessorConfig[]> {
  const all = await Promise.all(
    settings.processors.map(async entry => ({
      ...configure(await importProcessor(entry.module), entry),
      entry,
    })),
  )
  for (const processor of all) checkTimeout(processor, settings)
  const known = new Map<string, string>()
  for (const [i, { name }] of all.entries()) {
    const { module } = settings.processors[i] as ProcessorEntry
    const other = known.get(name)
    if (other !== undefined) throw registeredTwice(settings.file, name, other, module)
    known.set(name, module)
  }
  const unknown = names.filter(name => !known.has(name))
  if (unknown.length > 0 || all.length === 0) {
    const have = all.length === 0 ? 'none' : [...known.keys()].join(', ')
    throw new SallyportError(
      'SP_PROCESSOR',
      `${settings.file} has no processor ${unknown.join(', ')}; it has: ${have}`,
    )
  }
  return names.length === 0 ? all : all.filter(({ name }) => names.includes(name))
}

/** Two of one name would be one group with two handlers: which one an event meets would be chance. */
function registeredTwice(file: string, name: string, one: string, other: string): SallyportError {
  return new SallyportError(
    'SP_PROCESSOR',
    one === other
      ? `${file} lists ${one} twice, which is the processor ${name}: remove one entry; for more of it raise concurrency, or start more processes`
      : `two processors of ${file} are named ${name}, ${one} and ${other}: rename one`,
  )
}

/** What a processor needs to exist before it starts. */
export function processorProvision(settings: Settings, processor: ProcessorConfig): Provision {
  const shared = sharedProvision(settings)
  const outputs = [...processor.outputs]
  const own = processorTopicSpecs(topicPlan(settings), processor.name, processor.delaysMs, [
    ...processor.outputs.keys(),
  ])
  return {
    topics: [...shared.topics, ...own],
    schemas: {
      ...shared.schemas,
      // Several record types share the claims topic: their subjects are the records' names.
      ...Object.fromEntries(
        [CLAIM_SCHEMA, POSITIONS_SCHEMA, BARRIER_SCHEMA].map(schema => [schema.name, schema]),
      ),
      ...Object.fromEntries(outputs.map(([topic, schema]) => [valueSubject(topic), schema])),
    },
  }
}

/** A definition with what its entry in `sallyport.yaml` says over it. */
export function configure(processor: Processor, entry: Omit<ProcessorEntry, 'module'>): ProcessorConfig {
  const { name } = processor
  const delays = entry.retry ?? processor.retry
  if (delays.length > TIERS_MAX) {
    throw new SallyportError(
      'SP_PROCESSOR',
      `${name}.retry names ${delays.length} delays: at most ${TIERS_MAX}, each is a topic`,
    )
  }
  return {
    name,
    version: processor.version,
    groupId: `sallyport.${name}`,
    sources: processor.sources === null ? null : new Set(processor.sources),
    delaysMs: delays.map((delay, i) => durationMs(delay, `${name}.retry[${i}]`)),
    timeoutMs: timeoutMs(name, entry.timeout ?? processor.timeout),
    concurrency: entry.concurrency ?? processor.concurrency,
    breaker: breakerSettings(name, { ...processor.breaker, ...entry.breaker }),
    failures: failureTable(name, { ...processor.failures, ...entry.failures }),
    start: entry.start ?? 'earliest',
    outputs: new Map(Object.entries(processor.outputs).map(([topic, schema]) => [topic, loadSchema(schema)])),
    settings: entry.settings ?? {},
    handler: processor.handler,
    topics: processorTopics(name, delays.length),
  }
}

function timeoutMs(name: string, timeout: string): number {
  const ms = durationMs(timeout, `${name}.timeout`)
  if (ms >= 1 && ms <= TIMEOUT_MS_MAX) return ms
  throw new SallyportError('SP_PROCESSOR', `${name}.timeout is ${timeout}: set it from 1ms to 1d`)
}

function breakerSettings(name: string, breaker: BreakerDefinition): BreakerSettings {
  const { window = '1m', errorRate = 0.5, attemptsMin = 20, pause = '1s', pauseMax = '1m' } = breaker
  const settings = {
    windowMs: durationMs(window, `${name}.breaker.window`),
    errorRate,
    attemptsMin,
    pauseMs: durationMs(pause, `${name}.breaker.pause`),
    pauseMsMax: durationMs(pauseMax, `${name}.breaker.pauseMax`),
  }
  if (!(errorRate > 0 && errorRate <= 1)) {
    throw new SallyportError(
      'SP_PROCESSOR',
      `${name}.breaker.errorRate is ${errorRate}: set more than 0, at most 1`,
    )
  }
  if (!Number.isInteger(attemptsMin) || attemptsMin < 1 || attemptsMin > 100) {
    throw new SallyportError(
      'SP_PROCESSOR',
      `${name}.breaker.attemptsMin is ${attemptsMin}: set a whole number from 1 to 100`,
    )
  }
  if (
    settings.pauseMs < 1 ||
    settings.pauseMsMax < settings.pauseMs ||
    settings.pauseMsMax > PAUSE_MS_LIMIT
  ) {
    throw new SallyportError(
      'SP_PROCESSOR',
      `${name}.breaker pauses from ${pause} to ${pauseMax}: set pause to 1ms or more, and pauseMax between it and 1d`,
    )
  }
  return settings
}

const FAILURE_RULES: readonly FailureRule[] = ['retry', 'outage', 'fatal']

function failureTable(name: string, table: FailureTable): FailureTable {
  for (const [failure, rule] of Object.entries(table)) {
    if (FAILURE_RULES.includes(rule)) continue
    throw new SallyportError(
      'SP_PROCESSOR',
      `${name}.failures.${failure} is ${JSON.stringify(rule)}: set it to ${FAILURE_RULES.join(', ')}`,
    )
  }
  return table
}

/** A processor's definition. Throws `SP_PROCESSOR`. */
export async function importProcessor(file: string): Promise<Processor> {
  let module: { default?: unknown }
  try {
    module = await import(pathToFileURL(file).href)
  } catch (error) {
    throw new SallyportError('SP_PROCESSOR', `${file} cannot be loaded: ${errorMessage(error)}`, {
      cause: error,
    })
  }
  const processor = module.default as Partial<Processor> | undefined
  if (typeof processor?.handler !== 'function' || typeof processor.name !== 'string') {
    throw new SallyportError(
      'SP_PROCESSOR',
      `${file} must have a default export made by defineProcessor({ … })`,
    )
  }
  return processor as Processor
}
