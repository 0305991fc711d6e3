/**
 * A coordinator may call a transaction complete that is still open in a partition: the partition had no leader when its
 * marker was due, and was taken for deleted (KAFKA-20734, reproduced with Kafka 4.4.0). The next transaction of the same
 * producer that writes there would end what was left open with its own result: an aborted one would count, or a committed
 * one would be lost.
 *
 *     what the coordinator decided → take the id over → what is open all the same → end it as was decided (fate.ts)
 */
import type { Broker } from '@platformatic/kafka'
import { describeProducers, type PartitionProducers } from './describe.ts'
import type { End, Fates } from './fate.ts'
import type { ProducerCluster } from './producer-cluster.ts'
import { type BatchPlace, nameOf } from './requests.ts'
import { TransactionError, verdictOf } from './verdict.ts'

/** What earlier producers of a transactional id may have left open, and where that is not known yet. */
export class LeftOpen {
  readonly #cluster: ProducerCluster
  readonly #fates: Fates
  /** Places whose leader could not be asked, by name. */
  readonly #unseen = new Map<string, BatchPlace>()

  /** `fates`: what is known of the id's transactions from before it was taken over. */
  constructor(cluster: ProducerCluster, fates: Fates) {
    this.#cluster = cluster
    this.#fates = fates
  }

  /** Those of the places that could not be asked about so far. */
  unseenOf(places: readonly BatchPlace[]): BatchPlace[] {
    if (this.#unseen.size === 0) return []
    return places.filter(place => this.#unseen.has(nameOf(place)))
  }

  /**
   * Looks for what is open at these places, and says how it must end. No transaction of the id may be under way;
   * `producerId`: the present one. Throws `TransactionError` where nobody knows the end of some.
   */
  async find(places: readonly BatchPlace[], producerId: bigint): Promise<Map<End, BatchPlace[]>> {
    const producerIds = this.#fates.producerIds.add(producerId)
    const answers = await askLeaders(this.#cluster, places)
    for (const place of places) {
      const name = nameOf(place)
      if (isSeen(answers.get(name))) this.#unseen.delete(name)
      else this.#unseen.set(name, place)
    }
    const open = [...answers.values()].flatMap(({ topic, partition, producers }) =>
      producers
        .filter(it => it.openFrom >= 0 && producerIds.has(it.producerId))
        .map(producer => ({ topic, partition, producer })),
    )
    return Map.groupBy(open, ({ producer, ...place }) => {
      const end = this.#fates.of(producer)
      if (end !== undefined) return end
      throw new TransactionError(
        'failed',
        `an earlier transaction is open in ${nameOf(place)}, and nobody knows how it was to end: find it with kafka-transactions.sh find-hanging, and end it with abort`,
      )
    })
  }
}

/** What leaders say of the places, by name; those that could not be asked are missing. */
async function askLeaders(
  cluster: ProducerCluster,
  places: readonly BatchPlace[],
): Promise<Map<string, PartitionProducers>> {
  const answers = await Promise.all(
    [...(await leadersOf(cluster, places))].map(async ([leader, led]) =>
      leader === undefined ? [] : await cluster.coordinate(leader, describeProducers(led)).catch(() => []),
    ),
  )
  return new Map(answers.flat().map(answer => [nameOf(answer), answer]))
}

/** The places by the broker that leads them; under `undefined` those without one. */
async function leadersOf(
  cluster: ProducerCluster,
  places: readonly BatchPlace[],
): Promise<Map<Broker | undefined, BatchPlace[]>> {
  await cluster.refresh(places.map(({ topic }) => topic)).catch(() => {})
  return Map.groupBy(places, ({ topic, partition }) => cluster.leaderOf(topic, partition))
}

/** Whether a leader answered; one that may not be asked about this partition has nothing more to say later. */
function isSeen(answer: PartitionProducers | undefined): boolean {
  if (answer === undefined) return false
  const verdict = verdictOf(answer.code)
  return verdict !== 'again' && verdict !== 'moved'
}
