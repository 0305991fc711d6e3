/**
 * Writes what an operator's action sends, together with the audit record that accounts for it, in one transaction.
 * Its transactional id belongs to one operation: whoever takes the operation up fences an earlier runner of it.
 *
 * The rules of task-producer.ts hold here too: one partition per produce call, and after any error the object is
 * thrown away.
 */
import type kafkajs from 'kafkajs'
import { errorMessage, SallyportError } from '../errors.ts'
import { AUDIT_TOPIC } from '../topics.ts'
import { isFenced } from './client.ts'
import { batches, namedPartition, type PartitionWrites, type ProduceRecord } from './task-producer.ts'

/** Long enough for a batch, short enough that an operator's death does not hold up readers of the audit for long. */
const TRANSACTION_TIMEOUT_MS = 10_000

export class OperationProducer {
  readonly #producer: kafkajs.Producer

  private constructor(producer: kafkajs.Producer) {
    this.#producer = producer
  }

  /** Connects. The broker learns of the new runner, and refuses the old one, with the first transaction. */
  static async connect(kafka: kafkajs.Kafka, transactionalId: string): Promise<OperationProducer> {
    const producer = kafka.producer({
      transactionalId,
      transactionTimeout: TRANSACTION_TIMEOUT_MS,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: () => namedPartition,
    })
    try {
      await producer.connect()
    } catch (error) {
      throw failure(error)
    }
    return new OperationProducer(producer)
  }

  /**
   * Writes all or nothing. `audit` is given, by partition, one past the last offset of `writes`, and makes the audit
   * record. Returns that record's offset. Throws `SP_FENCED` when somebody else has taken the operation up, else
   * `SP_TRANSACTION`; either way the outcome is unknown and this object must not be used again.
   */
  async write(
    writes: readonly PartitionWrites[],
    audit: (ends: ReadonlyMap<number, number>) => Omit<ProduceRecord, 'headers'>,
  ): Promise<number> {
    try {
      const transaction = await this.#producer.transaction()
      const ends = new Map<number, number>()
      for (const { topic, partition, records } of writes) {
        for (const batch of batches(records)) {
          ends.set(partition, (await send(transaction, topic, partition, batch)) + batch.length)
        }
      }
      const offset = await send(transaction, AUDIT_TOPIC, 0, [audit(ends)])
      await transaction.commit()
      return offset
    } catch (error) {
      throw failure(error)
    }
  }

  async close(): Promise<void> {
    await this.#producer.disconnect().catch(() => {})
  }
}

/**
 * Appends one record to a topic of one partition outside any transaction, and returns its offset. Throws
 * `SP_BROKER_UNREACHABLE`.
 */
export async function appendRecord(
  kafka: kafkajs.Kafka,
  topic: string,
  record: Omit<ProduceRecord, 'headers'>,
): Promise<number> {
  const producer = kafka.producer({
    idempotent: true,
    maxInFlightRequests: 1,
    allowAutoTopicCreation: false,
    createPartitioner: () => namedPartition,
  })
  try {
    await producer.connect()
    return await send(producer, topic, 0, [record])
  } catch (error) {
    throw new SallyportError(
      'SP_BROKER_UNREACHABLE',
      `the record of ${topic} may not be written (${errorMessage(error)}): run the command again, it goes on from what is there`,
      { cause: error, retryable: true },
    )
  } finally {
    await producer.disconnect().catch(() => {})
  }
}

/** Sends records to one partition; returns the first one's offset. */
async function send(
  sender: kafkajs.Sender,
  topic: string,
  partition: number,
  records: readonly ProduceRecord[],
): Promise<number> {
  const messages = records.map(record => ({ ...record, partition }) as kafkajs.Message)
  const [metadata] = await sender.send({ topic, acks: -1, messages })
  // A partition that its metadata lacks kafkajs leaves out, and resolves.
  if (metadata === undefined) throw new Error(`${topic}/${partition} is not known yet`)
  return Number(metadata.baseOffset)
}

function failure(error: unknown): SallyportError {
  return isFenced(error)
    ? new SallyportError(
        'SP_FENCED',
        'somebody else has taken this operation up; nothing more is sent here',
        {
          cause: error,
        },
      )
    : new SallyportError(
        'SP_TRANSACTION',
        `the operation stopped (${errorMessage(error)}): run the same command again, it goes on where it stopped`,
        { cause: error, retryable: true },
      )
}
