/**
 * Where partitions end: the high watermark, and the last stable offset up to which read_committed consumers get. kafkajs
 * asks for the latter alone. Each leader is asked for all of its partitions at once; one that does not answer, or a
 * partition without a leader, hides no other.
 */
import { FetchIsolationLevels, listOffsetsV9 } from '@platformatic/kafka'
import type { Connection } from '../connection.ts'
import { Cluster, partialAnswer } from './cluster.ts'
import { type BatchPlace, nameOf } from './transactions/requests.ts'

export interface PartitionEnd {
  readonly topic: string
  readonly partition: number
  /** One past the last record. */
  readonly highWatermark: number
  /** The first offset of a transaction that is open, else the high watermark. */
  readonly stableOffset: number
}

type ListOffsetsAnswer = Awaited<ReturnType<typeof listOffsetsV9.api.async>>

const REQUEST_TIMEOUT_MS = 5_000
/** Stands for the end. */
const LATEST = -1n

export class PartitionEnds {
  readonly #cluster: Cluster

  constructor(connection: Connection, clientId: string) {
    this.#cluster = new Cluster(connection, clientId, [], REQUEST_TIMEOUT_MS)
  }

  /**
   * Asks for some partitions of some topics; those whose leader gave no answer are left out. Rejects when no broker says
   * who leads, or none of the leaders answers.
   */
  async read(topics: readonly string[], partitions: readonly number[]): Promise<PartitionEnd[]> {
    const places = topics.flatMap(topic => partitions.map(partition => ({ topic, partition })))
    // The stable offset first: whatever ends between the two questions makes the distance larger, never negative.
    const stable = await this.#list(places, FetchIsolationLevels.READ_COMMITTED)
    const high = await this.#list(places, FetchIsolationLevels.READ_UNCOMMITTED)
    return places.flatMap(place => {
      const highWatermark = high.get(nameOf(place))
      const stableOffset = stable.get(nameOf(place))
      return highWatermark === undefined || stableOffset === undefined
        ? []
        : [{ ...place, highWatermark, stableOffset }]
    })
  }

  async close(): Promise<void> {
    await this.#cluster.close()
  }

  async #list(places: readonly BatchPlace[], isolationLevel: 0 | 1): Promise<ReadonlyMap<string, number>> {
    const cluster = this.#cluster
    const leaderOf = ({ topic, partition }: BatchPlace) => cluster.leaderOf(topic, partition)
    let failure: unknown
    if (places.some(place => leaderOf(place) === undefined)) {
      // A topic that is not there is no reason to be silent about the others.
      failure = await cluster.refresh(places.map(({ topic }) => topic)).catch((error: unknown) => error)
    }
    const led = places.filter(place => leaderOf(place) !== undefined)
    const found = new Map<string, number>()
    await Promise.all(
      [...Map.groupBy(led, place => leaderOf(place) as number)].map(async ([leader, ledPlaces]) => {
        try {
          const ends = await this.#ask(leader, ledPlaces, isolationLevel)
          for (const [name, offset] of ends) found.set(name, offset)
        } catch (error) {
          failure = error
        }
      }),
    )
    // Somebody else may lead by now; the next call asks there.
    if (found.size < led.length) await cluster.refresh().catch(() => {})
    if (found.size === 0 && failure !== undefined) throw failure
    return found
  }

  async #ask(
    leader: number,
    places: readonly BatchPlace[],
    isolationLevel: 0 | 1,
  ): Promise<[string, number][]> {
    const connection = await this.#cluster.connectionTo(leader)
    const wanted = [...Map.groupBy(places, ({ topic }) => topic)].map(([name, led]) => ({
      name,
      partitions: led.map(({ partition }) => ({
        partitionIndex: partition,
        currentLeaderEpoch: -1,
        timestamp: LATEST,
      })),
    }))
    const answer = await listOffsetsV9.api
      .async(connection, -1, isolationLevel, wanted)
      .catch(partialAnswer<ListOffsetsAnswer>)
    return answer.topics.flatMap(({ name, partitions }) =>
      partitions
        .filter(({ errorCode }) => errorCode === 0)
        .map(({ partitionIndex, offset }): [string, number] => [
          nameOf({ topic: name, partition: partitionIndex }),
          Number(offset),
        ]),
    )
  }
}

/** Asks for one partition, on a connection of its own. */
export async function partitionEnd(
  connection: Connection,
  topic: string,
  partition: number,
): Promise<PartitionEnd | undefined> {
  const ends = new PartitionEnds(connection, 'sallyport-end')
  try {
    const [end] = await ends.read([topic], [partition])
    return end
  } finally {
    await ends.close()
  }
}
