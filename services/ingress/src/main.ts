/**
 * The ingress as a service: listens at once, provisions in the background, drains.
 *
 * It starts without a broker and without a registry: it is live, not ready, and answers 503 until both have answered
 * once. After that the registry is not needed any more.
 */
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '@sallyport/core/clock'
import type { Connection } from '@sallyport/core/connection'
import { SallyportError } from '@sallyport/core/errors'
import { Publisher } from '@sallyport/core/kafka/publisher'
import type { RunningService } from '@sallyport/core/lifecycle'
import type { Log } from '@sallyport/core/log'
import { ensureProvision, sharedProvision, valueSubject } from '@sallyport/core/provision'
import { type Settings, topicPlan } from '@sallyport/core/settings'
import { EVENTS_TOPIC, eventRecordBytesMax } from '@sallyport/core/topics'
import { openDoors } from './config.ts'
import type { PublishTarget } from './publish.ts'
import { Readiness } from './readiness.ts'
import { createIngressServer } from './server.ts'

export interface RunningIngress extends RunningService {
  /** Base URL of the listener, e.g. `http://127.0.0.1:8480`. */
  readonly url: string
  /** Resolves when Kafka and the registry have answered and deliveries are taken. */
  readonly ready: Promise<void>
}

const PROVISION_PAUSE_MS_FIRST = 200
const PROVISION_PAUSE_MS_MAX = 5_000
const PROBE_MS = 2_000
const BATCH_RECORDS_MAX = 1_000
const LINGER_MS = 1

/**
 * Starts an ingress. Rejects with `SP_SETTINGS` or `SP_SECRET_MISSING` where a source is wrong and with
 * `SP_PORT_TAKEN`; what only Kafka or the registry can say (`SP_TOPIC_MISMATCH`, `SP_SCHEMA_INCOMPATIBLE` …)
 * rejects `failed` later.
 */
export async function startIngress(
  settings: Settings,
  connection: Connection,
  log: Log,
): Promise<RunningIngress> {
  const doors = openDoors(settings, process.env)
  const publisher = openPublisher(settings, connection, log)
  const readiness = new Readiness(state => log.info({ state }, 'readiness'))
  const stopping = new AbortController()
  let target: PublishTarget | undefined

  const server = createIngressServer({
    settings: settings.ingress,
    doors: () => doors,
    target: () => target,
    readiness,
    clock: systemClock,
    log,
  })
  const url = await listen(server, settings.ingress.host, settings.ingress.port)
  log.info({ url, sources: [...doors.keys()] }, 'the ingress listens')

  const ready = provisionUntilDone(settings, connection, log, stopping.signal).then(schemaId => {
    target = { publisher, schemaId, partitions: settings.partitions }
    readiness.provisioned()
    void watchKafka(publisher, readiness, stopping.signal)
  })
  ready.catch(() => {})
  let drained: Promise<void> | undefined
  return {
    name: 'ingress',
    url,
    ready,
    failed: neverResolves(ready, stopping.signal),
    drain(deadlineMs) {
      drained ??= (async () => {
        readiness.draining()
        stopping.abort()
        await closeServer(server, deadlineMs)
        await publisher.close()
      })()
      return drained
    },
  }
}

function openPublisher(settings: Settings, connection: Connection, log: Log): Publisher {
  const { bodyBytesMax } = topicPlan(settings)
  return new Publisher(
    connection,
    {
      topic: EVENTS_TOPIC,
      batchBytesMax: eventRecordBytesMax(bodyBytesMax),
      batchRecordsMax: BATCH_RECORDS_MAX,
      lingerMs: LINGER_MS,
      deadlineMs: settings.ingress.publishTimeoutMs,
    },
    log,
  )
}

function listen(server: Server, host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE') return reject(error)
      const message = `${host}:${port} is taken by another program: free it, or set ingress.port (SALLYPORT_INGRESS_PORT) to another one`
      reject(new SallyportError('SP_PORT_TAKEN', message, { cause: error }))
    })
    server.listen(port, host, () => {
      const { address, family, port } = server.address() as AddressInfo
      resolve(`http://${family === 'IPv6' ? `[${address}]` : address}:${port}`)
    })
  })
}

/** The event schema's id, as soon as the topics and the schema exist; rejects with what trying again cannot mend. */
async function provisionUntilDone(
  settings: Settings,
  connection: Connection,
  log: Log,
  stopping: AbortSignal,
): Promise<number> {
  for (let pauseMs = PROVISION_PAUSE_MS_FIRST; ; pauseMs = Math.min(2 * pauseMs, PROVISION_PAUSE_MS_MAX)) {
    try {
      const ids = await ensureProvision(sharedProvision(settings), connection, log)
      return ids.get(valueSubject(EVENTS_TOPIC)) as number
    } catch (error) {
      if (!(error instanceof SallyportError) || !error.retryable) throw error
      log.warn({ code: error.code, detail: error.message, nextTryMs: pauseMs }, 'not ready yet')
    }
    await sleep(pauseMs, undefined, { signal: stopping })
  }
}

/** Keeps readiness in step with Kafka, with or without deliveries. */
async function watchKafka(publisher: Publisher, readiness: Readiness, stopping: AbortSignal): Promise<void> {
  while (!stopping.aborted) {
    readiness.reachable(await publisher.answers())
    await sleep(PROBE_MS, undefined, { signal: stopping, ref: false }).catch(() => {})
  }
}

/** `work`'s failure, except where it is only that the service stops. */
function neverResolves(work: Promise<unknown>, stopping: AbortSignal): Promise<never> {
  const failed = new Promise<never>((_, reject) => {
    work.catch(error => {
      if (!stopping.aborted) reject(error)
    })
  })
  // Whoever started the service listens; until then the failure must not end the process.
  failed.catch(() => {})
  return failed
}

/** Stops listening, lets requests in flight finish until the deadline, then cuts what is left. */
async function closeServer(server: Server, deadlineMs: number): Promise<void> {
  const closed = new Promise<void>(resolve => server.close(() => resolve()))
  server.closeIdleConnections()
  const cut = setTimeout(() => server.closeAllConnections(), deadlineMs)
  await closed
  clearTimeout(cut)
}
