/**
 * What tells the log of a partition from another one under the same name. A topic that was deleted and made again has
 * another id. A log that lost its end, as in a power cut, goes on under a later epoch of its leader: the epoch under which
 * its records were read ends before them.
 *
 * Source: KIP-101, KIP-320 (OffsetForLeaderEpoch), KIP-516 (topic ids).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage, SallyportError } from '../errors.ts'
import { MissingTopicError } from './cluster.ts'
import type { ProducerCluster } from './transactions/producer-cluster.ts'
import type { Request } from './transactions/request.ts'

/** How long a leader is asked again that does not say, or is about to find out that it is none any more; ms. */
const DEADLINE_MS = 5_000
const PAUSE_MS = 200
const CONSUMER = -1
const NO_EPOCH = -1

export class PartitionLogs {
  readonly #cluster: ProducerCluster
  readonly #deadlineMs: number

  constructor(cluster: ProducerCluster, deadlineMs = DEADLINE_MS) {
    this.#cluster = cluster
    this.#deadlineMs = deadlineMs
  }

  /** The ids of topics, asked for now. Throws `SP_BROKER_UNREACHABLE` (retryable). */
  async topicIds(topics: readonly string[]): Promise<ReadonlyMap<string, string>> {
    try {
      await this.#cluster.refresh(topics).catch((error: unknown) => {
        // It may be one that others have asked for; ours are looked at below.
        if (!(error instanceof MissingTopicError)) throw error
      })
      return new Map(topics.map(topic => [topic, this.#knownId(topic)]))
    } catch (error) {
      throw new SallyportError(
        'SP_BROKER_UNREACHABLE',
        `the topics’ ids cannot be had (${errorMessage(error)}): check KAFKA_BROKERS and that the brokers run`,
        { cause: error, retryable: true },
      )
    }
  }

  /**
   * One past the last record that a partition has of this leader epoch or an earlier one. Undefined where the leader does
   * not say, or knows of no leader that late: then it is none any more, or forgot.
   */
  async epochEnd(topic: string, partition: number, epoch: number): Promise<number | undefined> {
    const deadlineAt = performance.now() + this.#deadlineMs
    while (performance.now() < deadlineAt) {
      const leader = this.#cluster.leaderOf(topic, partition)
      if (leader !== undefined) {
        const asked = this.#cluster.produce(leader, offsetForLeaderEpoch(topic, partition, epoch))
        const { code, endOffset } = await asked.catch(() => UNANSWERED)
        if (code === 0 && endOffset >= 0) return endOffset
        await sleep(PAUSE_MS)
      }
      await this.#cluster.refresh().catch(() => sleep(PAUSE_MS))
    }
    return undefined
  }

  #knownId(topic: string): string {
    const topicId = this.#cluster.topicIdOf(topic)
    if (topicId === undefined) throw new Error(`${topic} is not in the cluster's metadata`)
    return topicId
  }
}

interface EpochEnd {
  readonly code: number
  readonly endOffset: number
}

const UNANSWERED: EpochEnd = { code: -1, endOffset: -1 }

function offsetForLeaderEpoch(topic: string, partition: number, epoch: number): Request<EpochEnd> {
  return {
    name: 'OffsetForLeaderEpoch',
    key: 23,
    version: 4,
    write: writer =>
      writer
        .appendInt32(CONSUMER)
        .appendArray([topic], (entry, name) => {
          entry.appendString(name).appendArray([partition], (inner, index) => {
            inner.appendInt32(index).appendInt32(NO_EPOCH).appendInt32(epoch)
          })
        })
        .appendTaggedFields(),
    read(reader) {
      reader.readInt32() // throttle time
      const [found] = reader
        .readArray(topicReader => {
          topicReader.readString()
          return topicReader.readArray(one => {
            const code = one.readInt16()
            one.readInt32() // partition
            one.readInt32() // the epoch that ends there
            return { code, endOffset: Number(one.readInt64()) }
          })
        })
        .flat()
      return found ?? UNANSWERED
    },
  }
}
