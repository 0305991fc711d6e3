/**
 * The transactional producer of one task. Its transactional id `<group>-<partition>` makes the broker refuse every
 * earlier owner of the partition from the moment that this one is initialised.
 *
 * - Any error: the object is thrown away (kafkajs leaves a failed one wedged); the task's owner leaves the group.
 * - One partition per produce call: kafkajs resolves a send although records were not written when a leader moves
 *   to a broker that has already answered in the same send.
 * - Claims come first in a transaction: kafkajs does not retry AddOffsetsToTxn.
 */
import type kafkajs from 'kafkajs'
import type { BrokerClock } from '../clock.ts'
import { errorMessage, SallyportError } from '../errors.ts'
import type { ReadHeaders } from '../headers.ts'
import { isFenced } from './client.ts'

/** A record to write, its partition named. */
export interface ProduceRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers?: ReadHeaders
}

/** The records of one transaction for one partition of one topic. */
export interface PartitionWrites {
  readonly topic: string
  readonly partition: number
  readonly records: readonly ProduceRecord[]
}

/** One past the last settled record of an input. */
export interface InputPosition {
  readonly topic: string
  readonly offset: number
}

/** Batches stay below the broker's usual max.message.bytes of 1 MiB, and within every topic's own. */
const BATCH_BYTES_MAX = 900_000
const RECORD_OVERHEAD_BYTES = 100

export class TaskProducer {
  readonly #producer: kafkajs.Producer
  readonly #groupId: string
  readonly #partition: number
  readonly #clock: BrokerClock

  private constructor(producer: kafkajs.Producer, groupId: string, partition: number, clock: BrokerClock) {
    this.#producer = producer
    this.#groupId = groupId
    this.#partition = partition
    this.#clock = clock
  }

  /** Connects. The broker learns of the new owner with the first transaction. */
  static async connect(
    kafka: kafkajs.Kafka,
    groupId: string,
    partition: number,
    transactionTimeoutMs: number,
    clock: BrokerClock,
  ): Promise<TaskProducer> {
    const producer = kafka.producer({
      transactionalId: `${groupId}-${partition}`,
      transactionTimeout: transactionTimeoutMs,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: () => namedPartition,
    })
    await producer.connect()
    return new TaskProducer(producer, groupId, partition, clock)
  }

  /**
   * Writes everything or nothing: claims, then the other records, then the group's offsets as a mirror for lag
   * tools. Returns one past the offset of the last claims record, where the broker said it. Throws `SP_FENCED` when a newer owner exists, else `SP_TRANSACTION`; either way the outcome is unknown
   * and this object must not be used again.
   */
  async transact(
    claims: PartitionWrites,
    others: readonly PartitionWrites[],
    positions: readonly InputPosition[],
  ): Promise<number | undefined> {
    try {
      const transaction = await this.#producer.transaction()
      const claimsEnd = await this.#write(transaction, claims)
      for (const writes of others) await this.#write(transaction, writes)
      if (positions.length > 0) {
        await transaction.sendOffsets({
          consumerGroupId: this.#groupId,
          topics: positions.map(({ topic, offset }) => ({
            topic,
            partitions: [{ partition: this.#partition, offset: String(offset) }],
          })),
        })
      }
      await transaction.commit()
      return claimsEnd
    } catch (error) {
      throw isFenced(error)
        ? new SallyportError(
            'SP_FENCED',
            `partition ${this.#partition} has a newer owner, or its transaction took longer than processing.transactionTimeout; nothing was committed; no action needed unless it repeats`,
            {
              cause: error,
            },
          )
        : new SallyportError(
            'SP_TRANSACTION',
            `the transaction of partition ${this.#partition} failed (${errorMessage(error)}); the processor starts again from its last settled state`,
            { cause: error, retryable: true },
          )
    }
  }

  async close(): Promise<void> {
    await this.#producer.disconnect().catch(() => {})
  }

  /** Returns one past the last record's offset, where the broker said it. */
  async #write(transaction: kafkajs.Transaction, writes: PartitionWrites): Promise<number | undefined> {
    let end: number | undefined
    for (const batch of batches(writes.records)) {
      const sentMs = this.#clock.local()
      const [metadata] = await transaction.send({
        topic: writes.topic,
        acks: -1,
        messages: batch.map(record => ({ ...record, partition: writes.partition }) as kafkajs.Message),
      })
      // A partition that its metadata lacks kafkajs leaves out, and resolves: one that was just made may be such.
      if (metadata === undefined) throw new Error(`${writes.topic}/${writes.partition} is not known yet`)
      this.#clock.observe(Number(metadata.logAppendTime ?? -1), sentMs)
      const first = Number(metadata.baseOffset ?? -1)
      end = first < 0 ? undefined : first + batch.length
    }
    return end
  }
}

/** Every record names its partition; one that does not is a defect. */
export function namedPartition({ message }: kafkajs.PartitionerArgs): number {
  if (message.partition === undefined || message.partition === null)
    throw new TypeError('a record names no partition')
  return message.partition
}

/** Splits records into batches below the size limit; a single larger record is a batch of its own. */
export function* batches(records: readonly ProduceRecord[]): Generator<ProduceRecord[]> {
  let batch: ProduceRecord[] = []
  let bytes = 0
  for (const record of records) {
    const size = recordBytes(record)
    if (batch.length > 0 && bytes + size > BATCH_BYTES_MAX) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push(record)
    bytes += size
  }
  if (batch.length > 0) yield batch
}

/** What a record takes in a batch, at most. */
export function recordBytes(record: ProduceRecord): number {
  let bytes = RECORD_OVERHEAD_BYTES + (record.key?.length ?? 0) + (record.value?.length ?? 0)
  const headers = record.headers ?? {}
  for (const name in headers) {
    const value = headers[name]
    const length = Array.isArray(value)
      ? value.reduce((sum, item) => sum + (item?.length ?? 0), 0)
      : (value?.length ?? 0)
    bytes += name.length + length * 3 + 8
  }
  return bytes
}
