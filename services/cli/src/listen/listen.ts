/** `sallyport listen`: accepted events of one source, forwarded as they come: read → decode → post → tell. */
import { EVENT_SCHEMA } from '@sallyport/core/codec'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import type { Event } from '@sallyport/core/event'
import { HEADER } from '@sallyport/core/headers'
import { withAdmin } from '@sallyport/core/kafka/admin'
import { createKafka } from '@sallyport/core/kafka/client'
import { type FetchedRecord, headerText } from '@sallyport/core/kafka/group-consumer'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { tailTopics } from '@sallyport/core/kafka/tail'
import { RegistryReader } from '@sallyport/core/registry-reader'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import { traceIdOf } from '@sallyport/core/trace'
import { colors } from '../colors.ts'
import { UsageError } from '../exit.ts'
import { interruptible } from '../interruption.ts'
import { commandLog, connectionOf, type KafkaOptions } from '../kafka-options.ts'
import { note, print, printRecord } from '../output.ts'
import { printable } from '../printable.ts'

interface ListenOptions extends KafkaOptions {
  readonly to: string
  readonly type?: string
  readonly timeout: number
  readonly json: boolean
}

/** What became of one event at the local URL. */
export interface Forwarded {
  readonly event: Event
  readonly traceId: string | undefined
  /** undefined: no answer. */
  readonly status: number | undefined
  readonly tookMs: number
  readonly error: string | undefined
}

export async function listen(source: string, options: ListenOptions): Promise<void> {
  const url = targetOf(options.to)
  const connection = connectionOf(options, process.env)
  const kafka = createKafka(connection, 'sallyport-listen', commandLog('listen'))
  const events = new RegistryReader<Event>(EVENT_SCHEMA, createRegistry(connection.registryUrl))
  await interruptible(async signal => {
    if (!(await withAdmin(kafka, admin => admin.listTopics())).includes(EVENTS_TOPIC)) {
      throw new SallyportError(
        'SP_NOT_RUNNING',
        `this cluster has no ${EVENTS_TOPIC}: start the services, or name another cluster with --brokers and --registry`,
      )
    }
    const reading = await tailTopics(kafka, [EVENTS_TOPIC], async record => {
      const event = await eventOf(events, record)
      if (event?.source !== source || (options.type ?? event.type) !== event.type || signal.aborted) return
      await tell(await forward(url, event, record, options.timeout), options.json)
    })
    note(colors.dim(`forwarding ${source} to ${url}; Ctrl-C ends`))
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

function targetOf(text: string): string {
  const url = URL.parse(text)
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return text
  throw new UsageError('--to is no URL: write one like http://localhost:3000/hooks')
}

/** The event in a record; undefined where it cannot be read, which the processors deal with. */
async function eventOf(events: RegistryReader<Event>, { value }: FetchedRecord): Promise<Event | undefined> {
  if (value === null) return undefined
  await events.prepare(value)
  return events.readOrUndefined(value)
}

async function forward(
  url: string,
  event: Event,
  { headers }: FetchedRecord,
  timeoutMs: number,
): Promise<Forwarded> {
  const traceparent = headerText(headers, HEADER.traceparent)
  const traceId = traceIdOf(traceparent)
  const startedAt = performance.now()
  const took = (): number => Math.round(performance.now() - startedAt)
  try {
    const response = await fetch(withQuery(url, event.query), {
      method: event.method ?? 'POST',
      // A GET has none, and `fetch` refuses even an empty one.
      body: event.body.length === 0 ? null : new Uint8Array(event.body),
      headers: {
        ...event.headers,
        ...(event.contentType === null ? {} : { 'content-type': event.contentType }),
        ...(traceparent === undefined ? {} : { traceparent }),
        'ce-specversion': '1.0',
        'ce-id': encodeURI(event.id),
        'ce-source': event.source,
        'ce-type': encodeURI(event.type),
        'ce-time': new Date(event.receivedAt).toISOString(),
        'idempotency-key': encodeURI(event.id),
      },
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    })
    await response.body?.cancel()
    return { event, traceId, status: response.status, tookMs: took(), error: undefined }
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
    return { event, traceId, status: undefined, tookMs: took(), error: errorMessage(cause) }
  }
}

/** The local URL with the event's query behind its own. */
export function withQuery(url: string, query: string | null): string {
  if (query === null) return url
  const [plain = '', fragment] = url.split('#', 2)
  return `${plain}${plain.includes('?') ? '&' : '?'}${query}${fragment === undefined ? '' : `#${fragment}`}`
}

async function tell(forwarded: Forwarded, json: boolean): Promise<void> {
  if (json) {
    const { event, traceId, status, tookMs, error } = forwarded
    const { id, type } = event
    await printRecord({
      id,
      type,
      traceId: traceId ?? null,
      status: status ?? null,
      tookMs,
      error: error ?? null,
    })
    return
  }
  await print(forwardedLine(forwarded))
}

/** For people. Type and id are the sender's words, and an error may quote its headers. */
export function forwardedLine({ event, status, tookMs, error }: Forwarded): string {
  const isTaken = status !== undefined && status < 300
  const answer = (isTaken ? colors.green : colors.red)(printable(String(status ?? error)))
  return `${answer} ${printable(event.type)} ${printable(event.id)} ${colors.dim(`${tookMs} ms`)}`
}
