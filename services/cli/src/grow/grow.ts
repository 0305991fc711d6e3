/**
 * `sallyport topics grow`: more partitions for topics that are in use, and no id forgotten.
 *
 * look → check → ask → claims topics grow → claims are copied → the other topics grow → the events topic grows
 *
 * U3. Nothing is written before everything is settled and nobody works with the topics.
 * U4. From the first topic that grows to the last, services refuse to start (`SP_PARTITION_COUNT`): counts differ. So
 *     nobody dedupes while claims are not where they belong.
 * U5. The events topic grows last, and by it a run knows how many partitions there were: killed anywhere, the same
 *     command begins again with what is left, and copies again what it copied.
 */
import { growTopics } from '@sallyport/core/kafka/partition-growth'
import { loadSettings } from '@sallyport/core/settings'
import { type Finding, printFindings } from '../check/finding.ts'
import { EXIT } from '../exit.ts'
import { interruptible } from '../interruption.ts'
import { commandLog, connectionOf } from '../kafka-options.ts'
import { type Desk, openDesk } from '../operations/desk.ts'
import { note, print, printDocument, table } from '../output.ts'
import { ProgressLine } from '../progress-line.ts'
import { isWanted } from '../prompt.ts'
import type { SetupOptions } from '../setup-options.ts'
import { type Growth, lookAt, type Stage } from './growth.ts'
import { moveClaims } from './move-claims.ts'
import { obstacles, runningOnes } from './obstacles.ts'

export interface GrowOptions extends SetupOptions {
  readonly yes?: boolean
}

export async function grow(options: GrowOptions): Promise<void> {
  const settings = loadSettings(options.config, process.env)
  const connection = connectionOf(options, process.env)
  await interruptible(async signal => {
    const desk = await openDesk(connection, commandLog('topics'))
    try {
      const growth = await lookAt(desk, settings)
      if (!options.json) await printPlan(growth, settings.file)
      const findings = await obstacles(desk, connection, growth)
      const goesAhead =
        growth.topics.length > 0 &&
        !(await areForbidding(findings, options)) &&
        (await isWanted(`Give the topics ${growth.to} partitions?`, options, signal))
      const late = goesAhead ? await carryOut(desk, growth, signal) : []
      const hasGrown = goesAhead && !(await areForbidding(late, options))
      if (options.json) await printDocument({ ...fields(growth), findings: [...findings, ...late], hasGrown })
      else if (hasGrown) await print(`All topics have ${growth.to} partitions: start the services`)
    } finally {
      await desk.close()
    }
  })
}

/** Returns what came in between and forbids to go on; then the events topic has not grown. */
async function carryOut(desk: Desk, growth: Growth, signal: AbortSignal): Promise<Finding[]> {
  try {
    return await growInOrder(desk, growth, signal)
  } catch (error) {
    note(
      'only some of the topics may have grown, and services do not start meanwhile: the same command goes on',
    )
    throw error
  }
}

async function growInOrder(desk: Desk, growth: Growth, signal: AbortSignal): Promise<Finding[]> {
  const growAll = async (wanted: Stage): Promise<void> => {
    signal.throwIfAborted()
    const topics = growth.topics.filter(({ stage }) => stage === wanted).map(({ topic }) => topic)
    await growTopics(desk.kafka, topics, growth.to)
  }
  await growAll('claims')
  // A process that looked at the counts just before the claims topics grew is let in.
  const early = await latecomers(desk, growth)
  if (early.length > 0) return early
  await moveAll(desk, growth, signal)
  await growAll('others')
  const late = await latecomers(desk, growth)
  if (late.length === 0) await growAll('events')
  return late
}

async function latecomers(desk: Desk, { processors }: Growth): Promise<Finding[]> {
  return (await Promise.all(processors.map(processor => runningOnes(desk, processor)))).flat()
}

async function moveAll(desk: Desk, growth: Growth, signal: AbortSignal): Promise<void> {
  const progress = new ProgressLine('claims')
  let copied = 0
  try {
    for (const processor of growth.processors) {
      copied += await moveClaims(desk, processor, growth, signal)
      progress.update(copied)
    }
  } finally {
    progress.end()
  }
}

async function areForbidding(findings: readonly Finding[], { json }: GrowOptions): Promise<boolean> {
  if (!json && findings.length > 0) await printFindings(findings)
  const isForbidding = findings.some(({ state }) => state === 'problem')
  if (isForbidding) process.exitCode = EXIT.findings
  return isForbidding
}

async function printPlan({ topics, to }: Growth, file: string): Promise<void> {
  if (topics.length === 0) return await print(`All topics have ${to} partitions, as ${file} says`)
  const rows = topics.map(({ topic, partitions }) => [topic, `${partitions} → ${to}`])
  for (const line of table(['topic', 'partitions'], rows)) await print(line)
}

function fields({ from, to, topics }: Growth) {
  return { from, to, topics: topics.map(({ topic }) => topic) }
}
