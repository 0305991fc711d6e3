/**
 * The requests of a transaction, in the versions that both protocols need: for transaction version 2 those that Kafka 4.0
 * brought, for version 1 those of Kafka 2.8, which newer brokers still take.
 *
 * Source: Kafka protocol guide; KIP-360 (InitProducerId with a producer's own id and epoch), KIP-890 (Produce 12,
 * TxnOffsetCommit 5, EndTxn 5).
 */
import type { Reader, Writer } from '@platformatic/kafka'
import type { ProducerIdentity } from '../cluster.ts'
import type { InputPosition } from '../produce-record.ts'
import type { Request } from './request.ts'

/** Which protocol a producer speaks: see transactional-producer.ts. */
export type TransactionVersion = 1 | 2

/** An answer that says one thing of all that was asked. */
export interface Answer {
  /** Kafka's error code; 0 is success. */
  readonly code: number
}

/** Who asks: a transactional id, and what the coordinator gave it last. */
export interface Writing extends ProducerIdentity {
  readonly transactionalId: string
}

/** Where a record batch goes. */
export interface BatchPlace {
  readonly topic: string
  readonly partition: number
}

/** `topic/partition`. */
export function nameOf({ topic, partition }: BatchPlace): string {
  return `${topic}/${partition}`
}

export interface PlacedBatch extends BatchPlace {
  readonly bytes: Buffer
}

/** What the broker says of one batch. */
export interface BatchAnswer extends Answer, BatchPlace {
  /** Offset of the batch's first record; -1 where the broker does not say. */
  readonly baseOffset: number
  /** The broker's time at the append, ms since the epoch; -1 where the topic keeps the producer's. */
  readonly appendTimeMs: number
}

/** No producer id yet: the coordinator gives one, and fences whoever has the transactional id. */
export const NO_IDENTITY: ProducerIdentity = { producerId: -1n, epoch: -1 }

const ACKS_ALL = -1
const TRANSACTION_KEY = 1
const GROUP_KEY = 0
const NO_LEADER_EPOCH = -1
const NO_GENERATION = -1

/** Acquires a transactional id, or the next epoch for the producer that has it. */
export function initProducerId(
  transactionalId: string,
  { producerId, epoch }: ProducerIdentity,
  timeoutMs: number,
): Request<Answer & ProducerIdentity> {
  return {
    name: 'InitProducerId',
    key: 22,
    version: 4,
    write: writer =>
      writer
        .appendString(transactionalId)
        .appendInt32(timeoutMs)
        .appendInt64(producerId)
        .appendInt16(epoch)
        .appendTaggedFields(),
    read(reader) {
      reader.readInt32() // throttle time
      return { code: reader.readInt16(), producerId: reader.readInt64(), epoch: reader.readInt16() }
    },
  }
}

/** Version 1: adds partitions to the transaction, before anything is written to them. */
export function addPartitionsToTxn(
  { transactionalId, producerId, epoch }: Writing,
  places: readonly BatchPlace[],
): Request<Answer> {
  return {
    name: 'AddPartitionsToTxn',
    key: 24,
    version: 3,
    write: writer =>
      appendPlaces(
        writer.appendString(transactionalId).appendInt64(producerId).appendInt16(epoch),
        places,
      ).appendTaggedFields(),
    read(reader) {
      reader.readInt32() // throttle time
      return { code: firstFailure(partitionCodes(reader)) }
    },
  }
}

/** Version 1: adds a group's offsets to the transaction, before they are written. */
export function addOffsetsToTxn(
  { transactionalId, producerId, epoch }: Writing,
  groupId: string,
): Request<Answer> {
  return {
    name: 'AddOffsetsToTxn',
    key: 25,
    version: 3,
    write: writer =>
      writer
        .appendString(transactionalId)
        .appendInt64(producerId)
        .appendInt16(epoch)
        .appendString(groupId)
        .appendTaggedFields(),
    read: readCode,
  }
}

/**
 * Writes batches for partitions that one broker leads, with acks=all; each is judged by its own code. Version 2: the
 * leader adds the partitions to the transaction. `transactionalId` null: outside any. `waitMs`: how long the broker waits for the replicas.
 */
export function produce(
  transaction: TransactionVersion,
  transactionalId: string | null,
  batches: readonly PlacedBatch[],
  waitMs: number,
): Request<readonly BatchAnswer[]> {
  return {
    name: 'Produce',
    key: 0,
    version: transaction === 2 ? 12 : 9,
    write: writer =>
      writer
        .appendString(transactionalId)
        .appendInt16(ACKS_ALL)
        .appendInt32(waitMs)
        .appendArray([...Map.groupBy(batches, ({ topic }) => topic)], (entry, [topic, placed]) => {
          entry.appendString(topic).appendArray(placed, (inner, { partition, bytes }) => {
            inner
              .appendInt32(partition)
              .appendUnsignedVarInt(bytes.length + 1)
              .append(bytes)
          })
        })
        .appendTaggedFields(),
    read: readBatchAnswers,
  }
}

/** Mirrors positions to a group's offsets, in the transaction. Version 2: the group's coordinator adds them to it. */
export function txnOffsetCommit(
  transaction: TransactionVersion,
  { transactionalId, producerId, epoch }: Writing,
  groupId: string,
  partition: number,
  positions: readonly InputPosition[],
): Request<Answer> {
  return {
    name: 'TxnOffsetCommit',
    key: 28,
    version: transaction === 2 ? 5 : 3,
    write: writer =>
      writer
        .appendString(transactionalId)
        .appendString(groupId)
        .appendInt64(producerId)
        .appendInt16(epoch)
        .appendInt32(NO_GENERATION)
        .appendString('') // member id
        .appendString(null) // group instance id
        .appendArray([...positions], (entry, { topic, offset }) => {
          entry.appendString(topic).appendArray([offset], inner => {
            inner
              .appendInt32(partition)
              .appendInt64(BigInt(offset))
              .appendInt32(NO_LEADER_EPOCH)
              .appendString(null) // metadata
          })
        })
        .appendTaggedFields(),
    read(reader) {
      reader.readInt32() // throttle time
      return { code: firstFailure(partitionCodes(reader)) }
    },
  }
}

/** Ends the transaction. Version 2: the answer says with which id and epoch the next one begins. */
export function endTxn(
  transaction: TransactionVersion,
  { transactionalId, producerId, epoch }: Writing,
  isCommit: boolean,
): Request<Answer & { readonly next: ProducerIdentity | undefined }> {
  return {
    name: 'EndTxn',
    key: 26,
    version: transaction === 2 ? 5 : 3,
    write: writer =>
      writer
        .appendString(transactionalId)
        .appendInt64(producerId)
        .appendInt16(epoch)
        .appendBoolean(isCommit)
        .appendTaggedFields(),
    read(reader) {
      const { code } = readCode(reader)
      if (transaction === 1 || code !== 0) return { code, next: undefined }
      return { code, next: { producerId: reader.readInt64(), epoch: reader.readInt16() } }
    },
  }
}

/** Asks who coordinates a transactional id, or a group. */
export function findCoordinator(
  kind: 'transaction' | 'group',
  key: string,
): Request<Answer & { readonly nodeId: number; readonly host: string; readonly port: number }> {
  return {
    name: 'FindCoordinator',
    key: 10,
    version: 3,
    write: writer =>
      writer
        .appendString(key)
        .appendInt8(kind === 'transaction' ? TRANSACTION_KEY : GROUP_KEY)
        .appendTaggedFields(),
    read(reader) {
      reader.readInt32() // throttle time
      const code = reader.readInt16()
      reader.readNullableString() // message
      return { code, nodeId: reader.readInt32(), host: reader.readString(), port: reader.readInt32() }
    },
  }
}

/** Topics with their partitions, as several requests have them. */
export function appendPlaces(writer: Writer, places: readonly BatchPlace[]): Writer {
  return writer.appendArray([...Map.groupBy(places, ({ topic }) => topic)], (entry, [topic, inTopic]) => {
    entry
      .appendString(topic)
      .appendArray(inTopic, (inner, { partition }) => inner.appendInt32(partition), true, false)
  })
}

function readCode(reader: Reader): Answer {
  reader.readInt32() // throttle time
  return { code: reader.readInt16() }
}

/** The codes of an answer's topics and their partitions. */
function partitionCodes(reader: Reader): number[] {
  return reader
    .readArray(topic => {
      topic.readString()
      return topic.readArray(partition => {
        partition.readInt32()
        return partition.readInt16()
      })
    })
    .flat()
}

const OPERATION_NOT_ATTEMPTED = 55

/** The code that says why: where one partition is refused, the others are only not attempted. */
function firstFailure(codes: readonly number[]): number {
  const failures = codes.filter(code => code !== 0)
  return failures.find(code => code !== OPERATION_NOT_ATTEMPTED) ?? failures[0] ?? 0
}

function readBatchAnswers(reader: Reader): BatchAnswer[] {
  return reader
    .readArray(inTopic => {
      const topic = inTopic.readString()
      return inTopic.readArray(inPartition => {
        const partition = inPartition.readInt32()
        const code = inPartition.readInt16()
        const baseOffset = Number(inPartition.readInt64())
        const appendTimeMs = Number(inPartition.readInt64())
        inPartition.readInt64() // first offset that is kept
        inPartition.readArray(inError => {
          inError.readInt32()
          inError.readNullableString()
        })
        inPartition.readNullableString() // message
        return { topic, partition, code, baseOffset, appendTimeMs }
      })
    })
    .flat()
}
