/** `sallyport tail`: the topics that carry events, from now on. */
import { topicRole } from '@sallyport/console/index/topics'
import { parseHistory } from '@sallyport/core/attempt'
import { EVENT_SCHEMA } from '@sallyport/core/codec'
import { SallyportError } from '@sallyport/core/errors'
import type { Event } from '@sallyport/core/event'
import { HEADER } from '@sallyport/core/headers'
import { withAdmin } from '@sallyport/core/kafka/admin'
import { createKafka } from '@sallyport/core/kafka/client'
import { type FetchedRecord, headerText } from '@sallyport/core/kafka/group-consumer'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { tailTopics } from '@sallyport/core/kafka/tail'
import { RegistryReader } from '@sallyport/core/registry-reader'
import { traceIdOf } from '@sallyport/core/trace'
import { colors } from '../colors.ts'
import { bodyField } from '../events/body-field.ts'
import { requestLine } from '../events/request-line.ts'
import { interruptible } from '../interruption.ts'
import { commandLog, connectionOf, type KafkaOptions } from '../kafka-options.ts'
import { note, print, printRecord } from '../output.ts'
import { printable } from '../printable.ts'

type Kind = 'accepted' | 'retry' | 'dead-letter' | 'redrive'

interface TailOptions extends KafkaOptions {
  readonly source?: string
  readonly type?: string
  readonly text?: string
  readonly kind?: readonly Kind[]
  readonly body?: boolean
  readonly json?: boolean
}

/** A record as it is shown. */
interface Sighting {
  readonly kind: Kind
  readonly processor: string | null
  readonly record: FetchedRecord
  readonly event: Event
}

export async function tail(options: TailOptions): Promise<void> {
  const connection = connectionOf(options, process.env)
  const kafka = createKafka(connection, 'sallyport-tail', commandLog('tail'))
  const events = new RegistryReader<Event>(EVENT_SCHEMA, createRegistry(connection.registryUrl))
  await interruptible(async signal => {
    const topics = (await withAdmin(kafka, admin => admin.listTopics())).filter(topic => {
      const kind = kindOf(topic)
      return kind !== undefined && (options.kind?.includes(kind) ?? true)
    })
    if (topics.length === 0) {
      throw new SallyportError(
        'SP_NOT_RUNNING',
        'this cluster has no topics of Sallyport’s to show: start the services, or name another cluster with --brokers and --registry',
      )
    }
    const reading = await tailTopics(kafka, topics, async record => {
      const sighting = await see(events, record)
      if (sighting !== undefined && !signal.aborted && isWanted(sighting.event, options)) {
        await show(sighting, options)
      }
    })
    if (process.stderr.isTTY) note(colors.dim('waiting for events; Ctrl-C ends'))
    const interrupted = new Promise<void>(resolve => {
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
    try {
      await Promise.race([interrupted, reading.failed])
    } finally {
      await reading.stop()
    }
  })
}

function kindOf(topic: string): Kind | undefined {
  const role = topicRole(topic)
  if (role === undefined || role.kind === 'audit' || role.kind === 'claims') return undefined
  return role.kind === 'events' ? 'accepted' : role.kind
}

/** The event in a record; undefined where it cannot be read, which the processors deal with. */
async function see(events: RegistryReader<Event>, record: FetchedRecord): Promise<Sighting | undefined> {
  const kind = kindOf(record.topic)
  if (kind === undefined || record.value === null) return undefined
  await events.prepare(record.value)
  const event = events.readOrUndefined(record.value)
  if (event === undefined) return undefined
  const role = topicRole(record.topic)
  const processor = role !== undefined && 'processor' in role ? role.processor : null
  return { kind, processor, record, event }
}

function isWanted(event: Event, { source, type, text }: TailOptions): boolean {
  return (
    (source === undefined || event.source === source) &&
    (type === undefined || event.type === type) &&
    (text === undefined || event.body.includes(text) || event.query?.includes(text) === true)
  )
}

async function show(sighting: Sighting, options: TailOptions): Promise<void> {
  if (options.json) {
    await printRecord(line(sighting))
    return
  }
  const { kind, processor, record, event } = sighting
  const time = new Date(record.timestamp).toISOString()
  const who = processor === null ? '' : ` ${processor}`
  const why = reason(sighting)
  await print(
    `${colors.dim(time)} ${paint(kind)}${who} ${printable(event.source)} ${printable(event.type)} ${printable(event.id)}${why === undefined ? '' : `: ${printable(why)}`}`,
  )
  const request = requestLine(event)
  if (options.body && request !== undefined) await print(`  ${printable(request)}`)
  if (options.body) await print(`  ${printable(event.body.toString())}`)
}

function paint(kind: Kind): string {
  switch (kind) {
    case 'accepted':
      return colors.green(kind)
    case 'retry':
      return colors.yellow(kind)
    case 'dead-letter':
      return colors.red(kind)
    case 'redrive':
      return colors.cyan(kind)
  }
}

/** Why a record is where it is. */
function reason({ kind, record }: Sighting): string | undefined {
  if (kind === 'dead-letter') return headerText(record.headers, HEADER.message)
  if (kind === 'retry') return parseHistory(headerText(record.headers, HEADER.history)).at(-1)?.message
  return undefined
}

function line(sighting: Sighting): object {
  const { kind, processor, record, event } = sighting
  const { body, ...envelope } = event
  return {
    kind,
    processor,
    at: new Date(record.timestamp).toISOString(),
    record: `${record.topic}/${record.partition}/${record.offset}`,
    reason: reason(sighting) ?? null,
    traceId: traceIdOf(headerText(record.headers, HEADER.traceparent)) ?? null,
    ...envelope,
    ...bodyField(body),
  }
}
