import { durationMs, durationText } from '@sallyport/core/duration'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { createKafka } from '@sallyport/core/kafka/client'
import { createRegistry } from '@sallyport/core/kafka/registry'
import type { Tail } from '@sallyport/core/kafka/tail'
import { createLog } from '@sallyport/core/log'
import { loadSettings } from '@sallyport/core/settings'
import { loadProcessors, type ProcessorConfig } from '@sallyport/processor/config'
import { Argument, type Command } from 'commander'
import { colors } from '../colors.ts'
import { printable } from '../printable.ts'
import { sampleUpdates } from '../samples.ts'
import { type Answer, deliver } from '../send/deliver.ts'
import { followEvents, type Step } from '../send/follow.ts'
import { crmSecret } from '../start/crm-secret.ts'
import { type DevFile, readDevFile } from '../start/dev-file.ts'
import { homeFolder } from '../start/home.ts'

interface SendOptions {
  readonly config: string
  readonly ingress?: string
  readonly timeout?: string
}

/** What waiting costs beyond the tiers' delays: handlers, transactions, a slow machine. */
const SLACK_MS = 60_000
const ID_CHARS = 16

/** `sallyport send crm`: sample ticket updates, signed, sent, and followed to their end. */
export function register(program: Command): void {
  program
    .command('send')
    .description('send signed sample webhooks to what npm start runs, and follow each event to its end')
    .addArgument(new Argument('[source]', 'whose samples to send').choices(['crm']).default('crm'))
    .option('-c, --config <file>', 'settings file, for the processors to follow', 'sallyport.yaml')
    .option(
      '--ingress <url>',
      'another ingress than the one that npm start runs; its events are not followed',
    )
    .option('--timeout <duration>', 'how long to follow (default: the retry tiers’ delays and a minute)')
    .addHelpText(
      'after',
      '\nExamples:\n  npx sallyport send crm\n  CRM_WEBHOOK_SECRET=… npx sallyport send crm --ingress https://hooks.example.com',
    )
    .action(send)
}

async function send(source: string, options: SendOptions): Promise<void> {
  const home = homeFolder(process.env)
  const dev = readDevFile(home)
  const ingress = options.ingress ?? dev?.ingress
  const secret = crmSecret(home, process.env)
  if (ingress === undefined) {
    throw new SallyportError(
      'SP_NOT_RUNNING',
      'nothing runs here: run npm start in another terminal, or name an ingress with --ingress URL',
    )
  }
  if (secret === undefined) {
    throw new SallyportError(
      'SP_SECRET_MISSING',
      'the secret of crm is unknown: set CRM_WEBHOOK_SECRET to what the ingress has',
    )
  }
  const journey =
    dev === undefined || options.ingress !== undefined ? undefined : await follow(dev, source, options)
  try {
    const answers = await sendAll(`${ingress}/webhooks/${source}`, secret)
    const accepted = answers.filter(({ eventId }) => eventId !== undefined)
    if (journey !== undefined && accepted.length > 0) await journey.untilEnd(accepted)
    if (accepted.length < answers.length) process.exitCode = 1
  } finally {
    await journey?.stop()
  }
}

async function sendAll(url: string, secret: string): Promise<Answer[]> {
  const updates = sampleUpdates()
  console.log(`Sending ${updates.length} ticket updates to ${url}`)
  const answers: Answer[] = []
  for (const update of updates) {
    const answer = await deliver(url, Buffer.from(JSON.stringify(update)), secret)
    answers.push(answer)
    const what = `${update.agent_id} ${update.status}`.padEnd(22)
    const trace = answer.traceId === undefined ? '' : colors.dim(`  trace ${answer.traceId}`)
    const status =
      answer.eventId === undefined ? colors.red(String(answer.status)) : colors.green(String(answer.status))
    console.log(`  ${status} ${what} ${answer.eventId ?? printable(answer.body)}${trace}`)
  }
  return answers
}

/** Follows events from now on; started before they are sent, so that nothing is missed. */
async function follow(dev: DevFile, source: string, options: SendOptions): Promise<Journey> {
  const processors = (await loadProcessors(loadSettings(options.config, process.env))).filter(
    ({ sources }) => sources === null || sources.has(source),
  )
  const tiersMs = Math.max(
    ...processors.map(({ delaysMs }) => delaysMs.reduce((sum, delayMs) => sum + delayMs, 0)),
  )
  const timeoutMs =
    options.timeout === undefined ? tiersMs + SLACK_MS : durationMs(options.timeout, '--timeout')
  const journey = new Journey(processors, timeoutMs)
  const kafka = createKafka(
    { brokers: dev.brokers, registryUrl: dev.registry },
    'sallyport-send',
    createLog('send'),
  )
  try {
    journey.tail = await followEvents(kafka, createRegistry(dev.registry), processors, step =>
      journey.arrived(step),
    )
  } catch (error) {
    throw new SallyportError(
      'SP_BROKER_UNREACHABLE',
      `cannot follow the events (${errorMessage(error)}): check that npm start still runs`,
      { cause: error },
    )
  }
  return journey
}

/** The way of the sent events through the processors, printed as it goes. */
class Journey {
  readonly #processors: readonly ProcessorConfig[]
  readonly #timeoutMs: number
  /** Steps that came before their event's answer. */
  readonly #early: Step[] = []
  readonly #open = new Set<string>()
  readonly #traces = new Map<string, string | undefined>()
  readonly #ends = { processed: 0, 'dead letter': 0 }
  readonly #done = Promise.withResolvers<void>()
  #sent = false
  tail: Tail | undefined

  constructor(processors: readonly ProcessorConfig[], timeoutMs: number) {
    this.#processors = processors
    this.#timeoutMs = timeoutMs
  }

  arrived(step: Step): void {
    if (!this.#sent) {
      this.#early.push(step)
      return
    }
    const place = `${step.processor} ${step.eventId}`
    if (!this.#open.has(place)) return
    console.log(`  ${describe(step, this.#traces.get(step.eventId))}`)
    if (!step.isEnd || step.kind === 'retry') return
    this.#ends[step.kind]++
    this.#open.delete(place)
    if (this.#open.size === 0) this.#done.resolve()
  }

  /** Resolves when every event has ended at every processor, or the time is up. */
  async untilEnd(answers: readonly Answer[]): Promise<void> {
    for (const { eventId, traceId } of answers) {
      this.#traces.set(eventId as string, traceId)
      for (const { name } of this.#processors) this.#open.add(`${name} ${eventId}`)
    }
    console.log('\nFollowing them to their end; Ctrl-C stops following, not the events')
    this.#sent = true
    for (const step of this.#early.splice(0)) this.arrived(step)
    const timer = setTimeout(() => this.#done.resolve(), this.#timeoutMs)
    await this.#done.promise
    clearTimeout(timer)
    const still =
      this.#open.size === 0
        ? ''
        : `, ${this.#open.size} still on their way after ${durationText(this.#timeoutMs)}`
    console.log(
      `\n${answers.length} accepted: ${this.#ends.processed} processed, ${this.#ends['dead letter']} in the dead letter${still}`,
    )
    if (this.#open.size > 0) process.exitCode = 1
  }

  async stop(): Promise<void> {
    await this.tail?.stop()
  }
}

function describe(step: Step, traceId: string | undefined): string {
  const id = `${step.eventId.slice(0, ID_CHARS)}…`
  const trace = colors.dim(`  trace ${step.traceId ?? traceId ?? 'unknown'}`)
  const reason = step.reason === undefined ? '' : `: ${printable(step.reason)}`
  switch (step.kind) {
    case 'processed':
      return `${id} ${step.processor} ${colors.green('processed')}, attempt ${step.attempt}${trace}`
    case 'retry': {
      const { number, of, delayMs } = step.tier as NonNullable<Step['tier']>
      return `${id} ${step.processor} attempt ${step.attempt} ${colors.yellow('failed')}, retry ${number} of ${of} in ${durationText(delayMs)}${reason}${trace}`
    }
    case 'dead letter':
      return `${id} ${step.processor} ${colors.red('dead letter')} after attempt ${step.attempt}, ${step.reason === undefined ? '' : printable(step.reason)}${trace}`
  }
}
