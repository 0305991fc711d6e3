import { readFileSync } from 'node:fs'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { createKafka } from '@sallyport/core/kafka/client'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { loadSettings, type Settings } from '@sallyport/core/settings'
import { loadProcessors } from '@sallyport/processor/config'
import { colors } from '../colors.ts'
import { EXIT, UsageError } from '../exit.ts'
import { commandLog } from '../kafka-options.ts'
import { print, printRecord } from '../output.ts'
import { printable } from '../printable.ts'
import { ProgressLine } from '../progress-line.ts'
import { withCrmSecret } from '../start/crm-secret.ts'
import { type DevFile, readDevFile } from '../start/dev-file.ts'
import { homeFolder } from '../start/home.ts'
import { parseHeaders } from '../verify/captured.ts'
import { type Answer, deliver } from './deliver.ts'
import { followEvents } from './follow.ts'
import { Journey, type SentEvent } from './journey.ts'
import { paced } from './paced.ts'
import { type Sample, Sender } from './sender.ts'

interface SendOptions {
  readonly config: string
  readonly ingress?: string
  readonly file?: string
  readonly header: readonly string[]
  readonly count?: number
  readonly rate?: number
  readonly follow: boolean
  readonly timeout?: number
  readonly json: boolean
}

/** What waiting costs beyond the tiers' delays: handlers, transactions, a slow machine. */
const SLACK_MS = 60_000
/** More than these are told as a sum, and not followed. */
const TOLD_MAX = 50

/** `sallyport send`. */
export async function send(source: string, options: SendOptions): Promise<void> {
  const settings = loadSettings(options.config, process.env)
  const home = homeFolder(process.env)
  const dev = readDevFile(home)
  const ingress = options.ingress ?? dev?.ingress
  if (ingress === undefined) {
    throw new SallyportError(
      'SP_NOT_RUNNING',
      'nothing runs here: run npm start in another terminal, or name an ingress with --ingress URL',
    )
  }
  // What npm start verifies with, where nobody has set another one.
  const sender = Sender.of(source, settings, withCrmSecret(home, process.env))
  const samples = samplesOf(sender, options)
  const count = options.count ?? samples().length
  const isTold = count <= TOLD_MAX
  const follows = isTold && options.follow && options.ingress === undefined && dev !== undefined
  const journey = follows ? await startJourney(dev, source, settings, options) : undefined
  try {
    const url = `${ingress.replace(/\/+$/, '')}/webhooks/${source}`
    const { events, refused } = await sendAll({ url, sender, samples, count, isTold }, options)
    const ended = journey === undefined || events.length === 0 || (await journey.untilEnd(events))
    if (refused > 0 || !ended) process.exitCode = EXIT.error
  } finally {
    await journey?.stop()
  }
}

/** Gives fresh samples whenever it is asked: their times are those at which they are sent. */
function samplesOf(sender: Sender, { file, header }: SendOptions): () => readonly Sample[] {
  const more = Object.fromEntries(
    parseHeaders(header.join('\n')).map(([name, value]) => [name.toLowerCase(), value.trim()] as const),
  )
  if (file === undefined) {
    return () =>
      sender.samples(Date.now()).map(sample => ({ ...sample, headers: { ...sample.headers, ...more } }))
  }
  const body = readBody(file)
  const headers = { 'content-type': 'application/json', ...more }
  return () => [{ title: file, body, headers }]
}

function readBody(file: string): Buffer {
  try {
    return readFileSync(file === '-' ? 0 : file)
  } catch (error) {
    throw new UsageError(
      `--file cannot be read (${errorMessage(error)}): name a file, or - for standard input`,
    )
  }
}

interface Sending {
  readonly url: string
  readonly sender: Sender
  readonly samples: () => readonly Sample[]
  readonly count: number
  readonly isTold: boolean
}

async function sendAll(
  { url, sender, samples, count, isTold }: Sending,
  { json, rate }: SendOptions,
): Promise<{ events: SentEvent[]; refused: number }> {
  const events: SentEvent[] = []
  const statuses = new Map<number, number>()
  const progress = new ProgressLine('sent')
  let refused = 0
  let done = 0
  if (!json) await print(`Sending ${count} to ${url}`)
  await paced(count, rate, async i => {
    const fresh = samples()
    const sample = fresh[i % fresh.length] as Sample
    const answer = await deliver(url, sample.body, sender.headersOf(sample, url, Date.now()))
    statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
    if (!answer.isAccepted) refused++
    else if (isTold && answer.eventId !== undefined)
      events.push({ eventId: answer.eventId, traceId: answer.traceId })
    if (json) await printRecord(recordOf(answer))
    else if (isTold) await print(lineOf(sample, answer))
    else progress.update(++done, count)
  })
  progress.end()
  if (!isTold && !json) {
    for (const [status, times] of statuses) await print(`  ${status}: ${times.toLocaleString('en')}`)
  }
  return { events, refused }
}

function recordOf({ status, eventId, traceId, tookMs, isAccepted, body }: Answer) {
  return {
    status,
    id: eventId ?? null,
    trace: traceId ?? null,
    tookMs,
    ...(isAccepted ? {} : { answer: body }),
  }
}

function lineOf(sample: Sample, { isAccepted, status, eventId, traceId, body }: Answer): string {
  const color = isAccepted ? colors.green : colors.red
  const trace = traceId === undefined ? '' : colors.dim(`  trace ${traceId}`)
  return `  ${color(String(status))} ${printable(sample.title).padEnd(22)} ${printable(eventId ?? body)}${trace}`
}

/** Follows events from now on; started before they are sent, so that nothing is missed. */
async function startJourney(
  dev: DevFile,
  source: string,
  settings: Settings,
  { timeout, json }: SendOptions,
): Promise<Journey> {
  const processors = (await loadProcessors(settings)).filter(
    ({ sources }) => sources === null || sources.has(source),
  )
  const tiersMs = Math.max(
    0,
    ...processors.map(({ delaysMs }) => delaysMs.reduce((sum, delayMs) => sum + delayMs, 0)),
  )
  const journey = new Journey({
    processors: processors.map(({ name }) => name),
    timeoutMs: timeout ?? tiersMs + SLACK_MS,
    json,
  })
  const connection = { brokers: dev.brokers, registryUrl: dev.registry }
  try {
    const kafka = createKafka(connection, 'sallyport-send', commandLog('send'))
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
