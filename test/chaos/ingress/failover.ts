/** What a broker's death costs requests: those of partitions that it led, and all others. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from '../../support/cluster.ts'
import { rawAdmin, rawKafka } from '../../support/raw-kafka.ts'
import type { Load } from './load.ts'

const TOPIC = 'sallyport.events'
const POLL_MS = 50

/** The partitions that a broker leads, as the cluster says. */
export async function ledBy(cluster: Cluster, broker: number): Promise<ReadonlySet<number>> {
  return await rawAdmin(rawKafka(cluster.brokers), async admin => {
    const { topics } = await admin.fetchTopicMetadata({ topics: [TOPIC] })
    const led = (topics[0]?.partitions ?? []).filter(({ leader }) => leader === broker + 1)
    return new Set(led.map(({ partitionId }) => partitionId))
  })
}

/** Waits until a dead broker's partitions are led again: all by others, or by itself because it is back; gives how long, ms. */
export async function ledAgain(
  cluster: Cluster,
  broker: number,
  partitions: ReadonlySet<number>,
  back: Promise<void>,
): Promise<number> {
  const from = Date.now()
  let isBack = false
  void back.then(() => {
    isBack = true
  })
  for (;;) {
    // A cluster that cannot say who leads has not failed over.
    const led = await ledBy(cluster, broker).catch(() => partitions)
    if (isBack || led.intersection(partitions).size === 0) return Date.now() - from
    await sleep(POLL_MS)
  }
}

/** The slowest answers to requests that were under way between two times: of some partitions, and of all others. */
export function slowest(
  load: Load,
  from: number,
  until: number,
  own: ReadonlySet<number>,
): { own: number; others: number } {
  const worst = { own: 0, others: 0 }
  for (const { endedAt, partition, tookMs } of load.attempts) {
    if (endedAt < from || endedAt - tookMs >= until) continue
    const whose = own.has(partition) ? 'own' : 'others'
    worst[whose] = Math.max(worst[whose], tookMs)
  }
  return worst
}
