/** Writes batches to the leaders of their partitions, and again until each is written (P8, P12 of transactional-producer.ts). */
import type { Broker } from '@platformatic/kafka'
import type { BrokerClock } from '../../clock.ts'
import { errorMessage } from '../../errors.ts'
import { errorName } from '../produce.ts'
import type { PartitionBatches } from './partition-batches.ts'
import { persist } from './persist.ts'
import type { ProducerCluster } from './producer-cluster.ts'
import { type BatchPlace, nameOf, produce, type TransactionVersion } from './requests.ts'
import { failureOf, verdictOf } from './verdict.ts'

export interface BatchWriter {
  readonly cluster: ProducerCluster
  readonly version: TransactionVersion
  /** null: outside any transaction. */
  readonly transactionalId: string | null
  /** Learns the brokers' time from what they answer. */
  readonly clock: BrokerClock
}

/** Why a batch is not written yet. */
interface Trouble {
  readonly why: string
  /** Somebody else may lead by now. */
  readonly isMoved: boolean
}

/** How long a broker waits for the replicas of a batch before it says so. */
const REPLICAS_WAIT_MS = 2_000

/** Writes all batches of these partitions by `deadlineAt` (`performance.now()`). Throws `TransactionError`. */
export async function writeBatches(
  writer: BatchWriter,
  partitions: readonly PartitionBatches[],
  deadlineAt: number,
): Promise<void> {
  for (let left = unwritten(partitions); left.length > 0; left = unwritten(left)) {
    await persist('Produce', deadlineAt, async () => {
      const troubles = await writeNext(writer, unwritten(left))
      const [first] = troubles
      if (first === undefined) return { code: 0 }
      if (troubles.some(({ isMoved }) => isMoved)) await writer.cluster.refresh().catch(() => {})
      throw new Error(first.why)
    })
  }
}

/** Sends the next batch of each partition, those of one leader in one request; says what is in the way of some. */
async function writeNext(writer: BatchWriter, partitions: readonly PartitionBatches[]): Promise<Trouble[]> {
  const byLeader = Map.groupBy(partitions, ({ topic, partition }) =>
    writer.cluster.leaderOf(topic, partition),
  )
  const troubles = await Promise.all(
    [...byLeader].map(async ([leader, led]) =>
      leader === undefined ? [leaderless(led[0] as BatchPlace)] : await writeTo(writer, leader, led),
    ),
  )
  return troubles.flat()
}

async function writeTo(
  { cluster, version, transactionalId, clock }: BatchWriter,
  leader: Broker,
  partitions: readonly PartitionBatches[],
): Promise<Trouble[]> {
  const sentMs = clock.local()
  const asked = cluster.produce(leader, produce(version, transactionalId, partitions, REPLICAS_WAIT_MS))
  const answers = await asked.catch(errorMessage)
  if (typeof answers === 'string') return [{ why: answers, isMoved: true }]
  const troubles: Trouble[] = []
  let appendTimeMs = -1
  for (const batches of partitions) {
    const name = nameOf(batches)
    const answer = answers.find(
      ({ topic, partition }) => topic === batches.topic && partition === batches.partition,
    )
    if (answer === undefined) {
      troubles.push({ why: `${name}: no answer`, isMoved: true })
      continue
    }
    const verdict = verdictOf(answer.code)
    if (verdict === 'fenced' || verdict === 'failed')
      throw failureOf(verdict, `Produce to ${name}`, answer.code)
    if (verdict === 'done') {
      appendTimeMs = Math.max(appendTimeMs, answer.appendTimeMs)
      batches.written(answer.baseOffset)
    } else {
      troubles.push({ why: `${name}: ${errorName(answer.code)}`, isMoved: verdict === 'moved' })
    }
  }
  clock.observe(appendTimeMs, sentMs, `${leader.host}:${leader.port}`)
  return troubles
}

function unwritten(partitions: readonly PartitionBatches[]): PartitionBatches[] {
  return partitions.filter(({ isWritten }) => !isWritten)
}

function leaderless(place: BatchPlace): Trouble {
  return { why: `${nameOf(place)} has no leader`, isMoved: true }
}
