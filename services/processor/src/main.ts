/** Starts processors: load → provision → run each in its group. */
import { setTimeout as sleep } from 'node:timers/promises'
import { BrokerClock, steadyClock } from '@sallyport/core/clock'
import type { Connection } from '@sallyport/core/connection'
import { SallyportError } from '@sallyport/core/errors'
import { transactionalIdsMs } from '@sallyport/core/kafka/admin'
import { createKafka } from '@sallyport/core/kafka/client'
import { PartitionEnds, partitionEnd } from '@sallyport/core/kafka/partition-ends'
import { createRegistry, type SchemaRegistry } from '@sallyport/core/kafka/registry'
import { topicIdentity } from '@sallyport/core/kafka/topic-identity'
import { ProducerCluster } from '@sallyport/core/kafka/transactions/producer-cluster'
import type { RunningService } from '@sallyport/core/lifecycle'
import type { Log } from '@sallyport/core/log'
import { claimsBytesLimit } from '@sallyport/core/metrics'
import { ensureProvision, valueSubject } from '@sallyport/core/provision'
import type { Settings } from '@sallyport/core/settings'
import { unlessAborted } from '@sallyport/core/unless-aborted'
import { AdminListener, type ProcessorsState } from './admin.ts'
import { ClaimsBudget, checkClaimsFit } from './claims-budget.ts'
import { checkClaimsExist } from './claims-exist.ts'
import {
  BARRIER_SCHEMA,
  CLAIM_SCHEMA,
  loadProcessors,
  POSITIONS_SCHEMA,
  type ProcessorConfig,
  processorProvision,
} from './config.ts'
import { watchEventLoop } from './event-loop.ts'
import { Gate } from './gate.ts'
import { ProcessMemory } from './memory.ts'
import { memoryLimits } from './memory-limits.ts'
import { OddClockReport } from './odd-clocks.ts'
import { OperatorPauses } from './operator-pauses.ts'
import { type ProcessorKafka, ProcessorRuntime } from './runtime.ts'

const PROVISION_RETRY_MS = 1_000
/** What comes after the handlers' deadline, the last transaction and leaving the group, may take this long, ms. */
const FAREWELL_MS = 10_000

/** Processors that run in this process. */
export interface RunningProcessors extends RunningService {
  /** Resolves when each has joined its group; rejects with `failed`. */
  readonly ready: Promise<void>
  /** The intake gate of each processor, by its name. */
  readonly gates: ReadonlyMap<string, Gate>
}

/**
 * Starts the processors of `sallyport.yaml`, or those that are named, each in its own consumer group. Resolves as
 * soon as they are loaded; while Kafka or the registry is away it keeps trying. Throws `SP_PROCESSOR`, `SP_SETTINGS`,
 * `SP_PORT_TAKEN`;
 * `failed` rejects with what no waiting can mend (`SP_TOPIC_MISMATCH`, `SP_SCHEMA_INCOMPATIBLE` …).
 */
export async function startProcessors(
  settings: Settings,
  connection: Connection,
  log: Log,
  names: readonly string[] = [],
): Promise<RunningProcessors> {
  const processors = await loadProcessors(settings, names)
  checkClaimsFit(settings, processors.length, memoryLimits(settings).claimsBytesMax)
  const { adminPort, adminHost } = settings.processing
  if (adminPort === undefined) return runProcessors(processors, settings, connection, log)
  let state: ProcessorsState = 'starting'
  const admin = new AdminListener(() => state)
  const adminUrl = await admin.listen(adminHost, adminPort)
  log.info({ adminUrl }, 'the operators’ listener is open')
  const running = runProcessors(processors, settings, connection, log)
  const joined = (): void => {
    if (state === 'starting') state = 'ready'
  }
  running.ready.then(joined, () => {})
  return {
    ...running,
    async drain(deadlineMs) {
      state = 'draining'
      await running.drain(deadlineMs)
      admin.close()
    },
  }
}

/** Runs configured processors: what `startProcessors` does once they are loaded. */
export function runProcessors(
  processors: readonly ProcessorConfig[],
  settings: Settings,
  connection: Connection,
  log: Log,
): RunningProcessors {
  const stopping = new AbortController()
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => {})
  const joined = processors.map(() => Promise.withResolvers<void>())
  const runtimes: ProcessorRuntime[] = []
  const { bytesMax, recordsBytesMax, claimsBytesMax } = memoryLimits(settings)
  claimsBytesLimit.set(claimsBytesMax)
  const producers = new ProducerCluster(connection, 'sallyport-processor')
  const registry = createRegistry(connection.registryUrl, settings.processing.schemaDoubtMs)
  const brokerClock = new BrokerClock(steadyClock, new OddClockReport(log))
  const claimsBudget = new ClaimsBudget(claimsBytesMax, error => log.error(error.message))
  const memory = new ProcessMemory(claimsBudget, bytesMax, recordsBytesMax)
  const gates = new Map(
    processors.map(({ name }) => [name, new Gate(name, log.child({ processor: name }))] as const),
  )
  const pauses = new OperatorPauses(gates, { connection, registry, log })
  let following: Promise<void> | undefined

  async function run(processor: ProcessorConfig, onJoin: () => void): Promise<void> {
    const processorLog = log.child({ processor: processor.name })
    const gate = gates.get(processor.name) as Gate
    async function prepareAndFollow(): Promise<ProcessorKafka | undefined> {
      const clients = { connection, producers, registry }
      const preparing = prepare(processor, settings, clients, processorLog, stopping.signal)
      const prepared = await unlessAborted(preparing, stopping.signal)
      if (prepared === undefined) return undefined
      following ??= pauses.follow(stopping.signal)
      await pauses.known
      return { ...prepared, brokerClock }
    }
    const runtime = new ProcessorRuntime(
      processor,
      settings,
      prepareAndFollow,
      new PartitionEnds(connection, `sallyport-${processor.name}-lag`),
      memory,
      processors.length,
      gate,
      processorLog,
    )
    runtimes.push(runtime)
    await runtime.run(onJoin)
    await following
  }

  const eventLoop = watchEventLoop(settings.processing.sessionTimeoutMs, log)
  const running = Promise.all(
    processors.map((processor, i) => run(processor, () => joined[i]?.resolve()).catch(failed.reject)),
  )
  const ready = Promise.race([
    Promise.all(joined.map(({ promise }) => promise)).then(() => {}),
    failed.promise,
  ])
  ready.catch(() => {})

  let drained: Promise<void> | undefined
  async function drain(deadlineMs: number): Promise<void> {
    stopping.abort()
    const all = Promise.all([...runtimes.map(runtime => runtime.drain(deadlineMs)), running]).then(() =>
      producers.close(),
    )
    // It keeps the process: what is waited for may have no connection left that would.
    const inTime = new AbortController()
    const late = sleep(deadlineMs + FAREWELL_MS, 'late', { signal: inTime.signal })
    if ((await Promise.race([all, late])) === 'late') {
      log.error(
        { deadlineMs },
        'stopped without an answer from Kafka; what was not settled is read again by the next owner',
      )
    }
    late.catch(() => {})
    inTime.abort()
    eventLoop.stop()
  }
  return {
    name: 'processor',
    failed: failed.promise,
    ready,
    gates,
    drain: deadlineMs => {
      drained ??= drain(deadlineMs)
      return drained
    },
  }
}

/** What all processors of a process share. */
interface Clients {
  readonly connection: Connection
  readonly producers: ProducerCluster
  readonly registry: SchemaRegistry
}

/** Provisions, trying again while the broker or the registry is away; undefined when stopped meanwhile. */
async function prepare(
  processor: ProcessorConfig,
  settings: Settings,
  { connection, producers, registry }: Clients,
  log: Log,
  stopping: AbortSignal,
): Promise<Omit<ProcessorKafka, 'brokerClock'> | undefined> {
  while (!stopping.aborted) {
    try {
      const provisioning = createKafka(connection, 'sallyport-provision', log)
      await checkClaimsExist(processor, provisioning)
      const ids = await ensureProvision(processorProvision(settings, processor), connection, log, registry)
      const id = (subject: string): number => ids.get(subject) as number
      return {
        client: createKafka(connection, `sallyport-${processor.name}`, log),
        producers,
        transactionalIdsMs: await transactionalIdsMs(provisioning),
        registry,
        endOf: (topic, partition) => partitionEnd(connection, topic, partition),
        identify: topic => topicIdentity(connection, topic),
        schemas: {
          claim: id(CLAIM_SCHEMA.name),
          positions: id(POSITIONS_SCHEMA.name),
          barrier: id(BARRIER_SCHEMA.name),
        },
        outputs: new Map(
          [...processor.outputs].map(([topic, schema]) => [
            topic,
            { schema, schemaId: id(valueSubject(topic)) },
          ]),
        ),
      }
    } catch (error) {
      if (!(error instanceof SallyportError) || !error.retryable) throw error
      log.warn({ error: error.message }, 'waiting to start')
      await sleep(PROVISION_RETRY_MS, undefined, { signal: stopping }).catch(() => {})
    }
  }
  return undefined
}
