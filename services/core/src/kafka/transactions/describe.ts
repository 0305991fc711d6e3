/**
 * Requests that tell what became of transactions: of one id by its coordinator, in partitions by their leaders.
 *
 * Source: Kafka protocol guide; KIP-664 (Kafka 3.0).
 */
import type { Request } from './request.ts'
import { type Answer, appendPlaces, type BatchPlace } from './requests.ts'

/** What a coordinator knows of the last transaction of an id. */
export interface DescribedTransaction extends Answer {
  /** Kafka's name of its state, such as `CompleteCommit`; `None` where the id is not known, or may not be asked about. */
  readonly state: string
  readonly producerId: bigint
  /** That of the id by now: each end by a coordinator, and with version 2 each end, has taken it one further. */
  readonly epoch: number
}

/** A producer that a partition knows. */
export interface PartitionProducer {
  readonly producerId: bigint
  /** Of the transaction that wrote last. */
  readonly epoch: number
  /** Offset of the first record that no marker has ended; -1 where there is none. */
  readonly openFrom: number
}

/** What a leader says of one partition. */
export interface PartitionProducers extends Answer, BatchPlace {
  readonly producers: readonly PartitionProducer[]
}

const TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
const TRANSACTIONAL_ID_NOT_FOUND = 105
const UNKNOWN_TO_US: readonly number[] = [TRANSACTIONAL_ID_AUTHORIZATION_FAILED, TRANSACTIONAL_ID_NOT_FOUND]

export const DESCRIBE_PRODUCERS_KEY = 61
export const DESCRIBE_TRANSACTIONS_KEY = 65

/** Asks a coordinator for the last transaction of an id. */
export function describeTransaction(transactionalId: string): Request<DescribedTransaction> {
  return {
    name: 'DescribeTransactions',
    key: DESCRIBE_TRANSACTIONS_KEY,
    version: 0,
    write: writer =>
      writer
        .appendArray([transactionalId], (entry, id) => entry.appendString(id), true, false)
        .appendTaggedFields(),
    read(reader) {
      reader.readInt32() // throttle time
      const [described] = reader.readArray(entry => {
        const code = entry.readInt16()
        entry.readString() // the id
        const state = entry.readString()
        entry.readInt32() // its time-out
        entry.readInt64() // when it began
        const producerId = entry.readInt64()
        const epoch = entry.readInt16()
        entry.readArray(inTopic => {
          inTopic.readString() // a topic that it writes to, and its partitions
          inTopic.readArray(each => each.readInt32(), true, false)
        })
        return { code, state, producerId, epoch }
      })
      if (described === undefined) return { ...NONE, code: 0 }
      return UNKNOWN_TO_US.includes(described.code) ? { ...NONE, code: 0 } : described
    },
  }
}

const NONE = { state: 'None', producerId: -1n, epoch: -1 } as const

/** Asks the leader of partitions which producers they know. */
export function describeProducers(places: readonly BatchPlace[]): Request<readonly PartitionProducers[]> {
  return {
    name: 'DescribeProducers',
    key: DESCRIBE_PRODUCERS_KEY,
    version: 0,
    write: writer => appendPlaces(writer, places).appendTaggedFields(),
    read(reader) {
      reader.readInt32() // throttle time
      return reader
        .readArray(inTopic => {
          const topic = inTopic.readString()
          return inTopic.readArray(inPartition => {
            const partition = inPartition.readInt32()
            const code = inPartition.readInt16()
            inPartition.readNullableString() // message
            const producers = inPartition.readArray(each => {
              const producerId = each.readInt64()
              const epoch = each.readInt32()
              each.readInt32() // last sequence number
              each.readInt64() // last time
              each.readInt32() // the coordinator's epoch
              return { producerId, epoch, openFrom: Number(each.readInt64()) }
            })
            return { topic, partition, code, producers }
          })
        })
        .flat()
    },
  }
}
