import type { Horizon } from '@sallyport/core/audit'
import { AuditLog } from '@sallyport/core/audit-log'
import type { Connection } from '@sallyport/core/connection'
import { SallyportError } from '@sallyport/core/errors'
import { withAdmin } from '@sallyport/core/kafka/admin'
import { createKafka } from '@sallyport/core/kafka/client'
import { PartitionReader } from '@sallyport/core/kafka/partition-reader'
import { createRegistry, type SchemaRegistry } from '@sallyport/core/kafka/registry'
import { ProducerCluster } from '@sallyport/core/kafka/transactions/producer-cluster'
import type { Log } from '@sallyport/core/log'
import { AUDIT_TOPIC, type ProcessorTopics, processorTopics } from '@sallyport/core/topics'
import { NothingError, UsageError } from '../exit.ts'
import { horizonOf } from './horizon.ts'
import { thisOperator } from './operator.ts'

const DEAD_LETTER_TOPIC = /^sallyport\.([a-z][a-z0-9-]{0,62})\.dead-letter$/

/** Of a processor whose topics are gone. */
const NOTHING_KEPT: Horizon = { redrives: Number.POSITIVE_INFINITY, replays: Number.POSITIVE_INFINITY }

/** What operations work with: the cluster, read by its topics alone; no settings file is needed. */
export interface Desk {
  readonly kafka: ReturnType<typeof createKafka>
  readonly reader: PartitionReader
  readonly producers: ProducerCluster
  readonly registry: SchemaRegistry
  readonly audit: AuditLog
  /** Processors that have a dead-letter topic, in alphabetical order. */
  readonly processors: readonly string[]
  close(): Promise<void>
}

/** Throws `SP_BROKER_UNREACHABLE`, or `SP_TOPIC_MISMATCH` where the topics were never made. */
export async function openDesk(connection: Connection, log: Log): Promise<Desk> {
  const kafka = createKafka(connection, 'sallyport-operator', log)
  const topics = await withAdmin(kafka, admin => admin.listTopics())
  if (!topics.includes(AUDIT_TOPIC)) {
    throw new SallyportError(
      'SP_TOPIC_MISMATCH',
      `${AUDIT_TOPIC} does not exist on ${connection.brokers.join(',')}. Run: npx sallyport topics apply`,
    )
  }
  const reader = new PartitionReader(connection, 'sallyport-operator')
  const producers = new ProducerCluster(connection, 'sallyport-operator')
  const registry = createRegistry(connection.registryUrl)
  const processors = topics
    .flatMap(topic => DEAD_LETTER_TOPIC.exec(topic)?.[1] ?? [])
    .sort((a, b) => a.localeCompare(b))
  const horizons = new Map<string, Promise<Horizon>>()
  const keeper = {
    by: thisOperator(),
    horizonOf: (processor: string) => {
      const horizon =
        horizons.get(processor) ??
        (processors.includes(processor) ? horizonOf(kafka, reader, processor) : Promise.resolve(NOTHING_KEPT))
      horizons.set(processor, horizon)
      return horizon
    },
  }
  return {
    kafka,
    reader,
    producers,
    registry,
    audit: new AuditLog({ reader, registry, producers, keeper }),
    processors,
    async close() {
      await Promise.all([reader.close(), producers.close()])
    },
  }
}

/** The processor that is meant: the one that is named, or the only one there is. */
export function processorMeant(desk: Desk, named: string | undefined): string {
  const [only] = desk.processors
  if (named === undefined && desk.processors.length === 1 && only !== undefined) return only
  const known = desk.processors.join(', ') || 'none'
  if (named === undefined) throw new UsageError(`name a processor with --processor; there are: ${known}`)
  if (!desk.processors.includes(named)) {
    throw new NothingError(`there is no processor ${named}; there are: ${known}`)
  }
  return named
}

/** A processor's topics as far as operations need them: whatever its retry tiers are. */
export function topicsOf(processor: string): Omit<ProcessorTopics, 'retry'> {
  return processorTopics(processor, 0)
}
