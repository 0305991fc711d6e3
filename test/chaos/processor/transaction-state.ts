/**
 * Reads what the coordinators wrote down of transactions, from the raw log of `__transaction_state`.
 *
 * Source: Kafka 4.4, `TransactionLogKey.json` and `TransactionLogValue.json`.
 */
import { Reader } from '@platformatic/kafka'
import { commonProperties } from 'sallyport/broker/kafka-server'
import type { LogRecord } from './partition-log.ts'
import { readTopic } from './topic-log.ts'

export const TRANSACTION_STATE_TOPIC = '__transaction_state'
export const TRANSACTION_STATE_PARTITIONS = Number(
  commonProperties(3)['transaction.state.log.num.partitions'],
)

/** One state of a transactional id. */
export interface TransactionState {
  readonly partition: number
  readonly offset: number
  readonly transactionalId: string
  readonly producerId: bigint
  readonly epoch: number
  readonly status: string
  /** `topic/partition` of each that the transaction has by then. */
  readonly partitions: readonly string[]
  /** When it was written down by the coordinator's clock, ms since the epoch. */
  readonly at: number
  /** What the client speaks: 2 where each end bumps the epoch. */
  readonly clientVersion: number
}

const STATUSES = [
  'Empty',
  'Ongoing',
  'PrepareCommit',
  'PrepareAbort',
  'CompleteCommit',
  'CompleteAbort',
  'Dead',
  'PrepareEpochFence',
]
/** Bytes of a key before the transactional id: the key's version, and how long the id is. */
const KEY_HEAD_BYTES = 4
/** Bytes of the times in a value. A completed state has the time of its preparation there: the record's is the truth. */
const TIMES_BYTES = 16
/** The tag of an optional field. */
const CLIENT_VERSION = 2

/** Every state that the log holds, a partition's in their order. */
export async function readStates(brokers: readonly string[]): Promise<TransactionState[]> {
  const log = await readTopic(brokers, TRANSACTION_STATE_TOPIC, TRANSACTION_STATE_PARTITIONS, true)
  return log.records.flatMap(record => decodeState(record) ?? [])
}

/** Undefined for a record that is no state: one that deletes a transactional id. Transactional ids are ASCII here. */
export function decodeState(
  record: Pick<LogRecord, 'partition' | 'offset' | 'timestamp' | 'key' | 'value'>,
): TransactionState | undefined {
  const { partition, offset, timestamp, key, value } = record
  if (value === null) return undefined
  const reader = Reader.from(value)
  const isCompact = reader.readInt16() > 0
  const producerId = reader.readInt64()
  const epoch = reader.readInt16()
  reader.readInt32() // Its time-out.
  const status = reader.readInt8()
  const topics = reader.readNullableArray(
    each => {
      const topic = each.readString(isCompact)
      return each.readArray(it => `${topic}/${it.readInt32()}`, isCompact, false)
    },
    isCompact,
    isCompact,
  )
  reader.skip(TIMES_BYTES)
  return {
    partition,
    offset,
    transactionalId: key.slice(KEY_HEAD_BYTES),
    producerId,
    epoch,
    status: STATUSES[status] ?? String(status),
    partitions: (topics ?? []).flat(),
    at: timestamp,
    clientVersion: isCompact ? clientVersion(reader) : 0,
  }
}

function clientVersion(reader: Reader): number {
  let version = 0
  for (let left = reader.readUnsignedVarInt(); left > 0; left--) {
    const tag = reader.readUnsignedVarInt()
    const bytes = reader.readUnsignedVarInt()
    if (tag === CLIENT_VERSION) version = reader.readInt16()
    else reader.skip(bytes)
  }
  return version
}

/** For people. */
export function describeState(state: TransactionState): string {
  const { partition, offset, transactionalId, producerId, epoch, status, partitions, clientVersion } = state
  const place = `${TRANSACTION_STATE_TOPIC}/${partition}/${offset}`
  return `${place} ${transactionalId} ${producerId}/${epoch} ${status}, client's version ${clientVersion}, [${partitions.join(', ')}]`
}
