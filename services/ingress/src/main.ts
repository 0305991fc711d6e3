/**
 * The ingress as a service: listens at once, provisions in the background, reloads, drains.
 *
 * It starts without a broker and without a registry: it is live, not ready, and answers 503 until both have answered
 * once. After that the registry is not needed any more.
 */
import type { Server } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '@sallyport/core/clock'
import type { Connection } from '@sallyport/core/connection'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { PartitionReader } from '@sallyport/core/kafka/partition-reader'
import { Publisher } from '@sallyport/core/kafka/publisher'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { ProducerCluster } from '@sallyport/core/kafka/transactions/producer-cluster'
import type { RunningService } from '@sallyport/core/lifecycle'
import type { Log } from '@sallyport/core/log'
import { reloadFailed, reloadFailuresTotal } from '@sallyport/core/metrics'
import { ensureProvision, sharedProvision, valueSubject } from '@sallyport/core/provision'
import type { Settings } from '@sallyport/core/settings'
import { SourceSecretLog } from '@sallyport/core/source-secret-log'
import { EVENTS_TOPIC, eventRecordBytesMax } from '@sallyport/core/topics'
import { createAdminServer } from './admin.ts'
import { watchFiles } from './file-watch.ts'
import { Learning } from './learning.ts'
import { closeListener, createListener, listen, reloadCertificate } from './listener.ts'
import { isLoopback } from './networks.ts'
import { fits, grown, type PublishTarget } from './publish.ts'
import { Readiness } from './readiness.ts'
import { createHandler } from './server.ts'
import { SourcesInUse } from './sources-in-use.ts'

export interface RunningIngress extends RunningService {
  /** Base URL of the listener, e.g. `http://127.0.0.1:8480`. */
  readonly url: string
  /** Base URL of the operators' listener, where there is one. */
  readonly adminUrl: string | undefined
  /** Resolves when Kafka and the registry have answered and deliveries are taken. */
  readonly ready: Promise<void>
  /** Takes sources, secrets and the certificate from their files again, as SIGHUP does. */
  reload(): void
}

export interface IngressOptions {
  /** Several processes listen on the port, and the kernel spreads connections over them. Default false. */
  readonly reusePort?: boolean
}

const PROVISION_PAUSE_MS_FIRST = 200
const PROVISION_PAUSE_MS_MAX = 5_000
const PROBE_MS = 2_000
const BATCH_RECORDS_MAX = 1_000
const LINGER_MS = 3

/**
 * Starts an ingress. Rejects with `SP_SETTINGS` or `SP_SECRET_MISSING` where a source is wrong and with
 * `SP_PORT_TAKEN`; what only Kafka or the registry can say (`SP_TOPIC_MISMATCH`, `SP_SCHEMA_INCOMPATIBLE` …)
 * rejects `failed` later.
 */
export async function startIngress(
  settings: Settings,
  connection: Connection,
  log: Log,
  options: IngressOptions = {},
): Promise<RunningIngress> {
  const { ingress } = settings
  const sources = new SourcesInUse(settings, process.env, systemClock, log)
  const readiness = new Readiness(state => log.info({ state }, 'readiness'))
  const stopping = new AbortController()
  let target: PublishTarget | undefined

  const producers = new ProducerCluster(connection, 'sallyport-ingress')
  const reader = new PartitionReader(connection, 'sallyport-ingress')
  const learning = new Learning({
    topic: new SourceSecretLog({ producers, reader, registry: createRegistry(connection.registryUrl) }),
    sources: () => sources.learners,
    keys: () => sources.sealing,
    onLearnt: secrets => sources.takeLearnt(secrets),
    clock: systemClock,
    log,
    timeoutMs: ingress.publishTimeoutMs,
  })
  const following = new Set<Promise<void>>()
  const followLearning = (): void => {
    if (sources.learners.length === 0 || target === undefined || following.size > 0) return
    following.add(learning.follow(stopping.signal))
  }
  const handle = createHandler({
    settings: ingress,
    loopback: isLoopback(ingress.host),
    doors: () => sources.doors,
    learning,
    target: () => target,
    readiness,
    clock: systemClock,
    log,
  })
  const server = createListener(ingress, handle)
  const url = await listen(server, ingress.host, ingress.port, options.reusePort)
  const admin = ingress.adminPort === undefined ? undefined : createAdminServer(readiness)
  const adminUrl = await openAdmin(admin, settings, server)
  log.info({ url, adminUrl, sources: [...sources.doors.keys()] }, 'the ingress listens')

  const publisher = openPublisher(settings, connection, log)
  const ready = provisionUntilDone(settings, connection, log, stopping.signal).then(schemaId => {
    target = { publisher, schemaId, partitions: settings.partitions }
    readiness.provisioned()
    followLearning()
    void watchKafka(target, readiness, stopping.signal, log)
  })
  ready.catch(() => {})
  const reload = (): void => {
    sources.reload()
    followLearning()
    learning.refresh()
    reloadTls(server, settings, log)
  }
  process.on('SIGHUP', reload)
  void watchFiles(() => [...sources.files, ...tlsFiles(settings)], reload, stopping.signal)

  let drained: Promise<void> | undefined
  return {
    name: 'ingress',
    url,
    adminUrl,
    ready,
    reload,
    failed: failureOf(ready, stopping.signal),
    drain(deadlineMs) {
      drained ??= (async () => {
        process.off('SIGHUP', reload)
        readiness.draining()
        stopping.abort()
        await closeListener(server, deadlineMs)
        await Promise.all(following)
        await Promise.all([reader.close(), producers.close()])
        await publisher.close()
        if (admin !== undefined) await closeListener(admin, 0)
      })()
      return drained
    },
  }
}

function openPublisher(settings: Settings, connection: Connection, log: Log): Publisher {
  return new Publisher(
    connection,
    {
      topic: EVENTS_TOPIC,
      batchBytesMax: eventRecordBytesMax(settings.ingress.bodyBytesMax),
      batchRecordsMax: BATCH_RECORDS_MAX,
      lingerMs: LINGER_MS,
      deadlineMs: settings.ingress.publishTimeoutMs,
    },
    log,
  )
}

/** Listens for operators where the settings ask for it; where that fails, the other listener is closed as well. */
async function openAdmin(
  admin: Server | undefined,
  { ingress }: Settings,
  server: Server,
): Promise<string | undefined> {
  if (admin === undefined || ingress.adminPort === undefined) return undefined
  try {
    return await listen(admin, ingress.adminHost, ingress.adminPort)
  } catch (error) {
    await closeListener(server, 0)
    throw error
  }
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

/** Keeps readiness in step with Kafka, with or without deliveries, until the topic has grown. */
async function watchKafka(
  target: PublishTarget,
  readiness: Readiness,
  stopping: AbortSignal,
  log: Log,
): Promise<void> {
  while (!stopping.aborted) {
    readiness.reachable(await target.publisher.answers())
    if (!fits(target)) {
      log.error({ code: 'SP_PARTITION_COUNT' }, grown(target).message)
      readiness.outgrown()
      return
    }
    await sleep(PROBE_MS, undefined, { signal: stopping, ref: false }).catch(() => {})
  }
}

function tlsFiles({ ingress }: Settings): readonly string[] {
  return ingress.tls === undefined ? [] : [ingress.tls.cert, ingress.tls.key]
}

function reloadTls(server: Server, { ingress }: Settings, log: Log): void {
  if (ingress.tls === undefined) return
  try {
    reloadCertificate(server, ingress.tls)
    reloadFailed.set({ what: 'certificate' }, 0)
    log.info({ file: ingress.tls.cert }, 'the certificate is reloaded')
  } catch (error) {
    reloadFailuresTotal.inc({ what: 'certificate' })
    reloadFailed.set({ what: 'certificate' }, 1)
    log.error({ error: errorMessage(error) }, 'the certificate stays as it was')
  }
}

/** `work`'s failure, except where it is only that the service stops. */
function failureOf(work: Promise<unknown>, stopping: AbortSignal): Promise<never> {
  const failed = new Promise<never>((_, reject) => {
    work.catch(error => {
      if (!stopping.aborted) reject(error)
    })
  })
  // Whoever started the service listens; until then the failure must not end the process.
  failed.catch(() => {})
  return failed
}
