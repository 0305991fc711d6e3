/**
 * The transactional producer of one task. Its transactional id `<group>-<partition>` makes the broker refuse every
 * earlier owner of the partition from the moment that this one is opened.
 *
 * After any error the object is of no more use: the task's owner leaves the group, and acquires anew.
 */
import { SallyportError } from '../errors.ts'
import type { InputPosition, PartitionWrites } from './produce-record.ts'
import type { ProducerCluster } from './transactions/producer-cluster.ts'
import { type ProducerSettings, TransactionalProducer } from './transactions/transactional-producer.ts'
import { TransactionError } from './transactions/verdict.ts'

export class TaskProducer {
  readonly #producer: TransactionalProducer
  readonly #groupId: string
  readonly #partition: number

  private constructor(producer: TransactionalProducer, groupId: string, partition: number) {
    this.#producer = producer
    this.#groupId = groupId
    this.#partition = partition
  }

  /**
   * Becomes the owner: the broker resolves what the last owner had under way, and refuses it from now on. Throws
   * `SP_FENCED` or `SP_TRANSACTION`.
   */
  static async open(
    cluster: ProducerCluster,
    groupId: string,
    partition: number,
    settings: ProducerSettings,
  ): Promise<TaskProducer> {
    try {
      const producer = await TransactionalProducer.open(cluster, `${groupId}-${partition}`, settings)
      return new TaskProducer(producer, groupId, partition)
    } catch (error) {
      throw failed(partition, error)
    }
  }

  /**
   * Writes everything or nothing: claims, then the other records, then the group's offsets as a mirror for lag
   * tools. Returns one past the offset of the last claims record, where the broker said it. Throws `SP_FENCED` when a
   * newer owner exists, else `SP_TRANSACTION`; either way this object must not be used again.
   */
  async transact(
    claims: PartitionWrites,
    others: readonly PartitionWrites[],
    positions: readonly InputPosition[],
  ): Promise<number | undefined> {
    const producer = this.#producer
    try {
      await producer.begin([claims, ...others], positions.length > 0 ? this.#groupId : undefined)
      const [claimsEnd] = await producer.write([claims])
      if (others.length > 0) await producer.write(others)
      if (positions.length > 0) await producer.commitOffsets(this.#groupId, this.#partition, positions)
      await producer.commit()
      return claimsEnd
    } catch (error) {
      throw failed(this.#partition, error)
    }
  }

  async close(): Promise<void> {
    await this.#producer.close()
  }
}

function failed(partition: number, error: unknown): SallyportError {
  if (!(error instanceof TransactionError)) throw error
  if (error.kind === 'fenced') {
    return new SallyportError(
      'SP_FENCED',
      `partition ${partition} has a newer owner, or its transaction took longer than processing.transactionTimeout; nothing was committed; no action needed unless it repeats`,
      { cause: error },
    )
  }
  return new SallyportError(
    'SP_TRANSACTION',
    `the transaction of partition ${partition} failed (${error.message}); the processor starts again from its last settled state`,
    { cause: error, retryable: true },
  )
}
