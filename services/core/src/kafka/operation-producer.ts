/**
 * Writes what an operator's action sends, together with the audit record that accounts for it, in one transaction.
 * Its transactional id belongs to one operation: whoever takes the operation up fences an earlier runner of it.
 *
 * After any error the object is of no more use.
 */
import { BrokerClock, systemClock } from '../clock.ts'
import { SallyportError } from '../errors.ts'
import { AUDIT_TOPIC } from '../topics.ts'
import type { PartitionWrites, ProduceRecord } from './produce-record.ts'
import type { ProducerCluster } from './transactions/producer-cluster.ts'
import { TransactionalProducer } from './transactions/transactional-producer.ts'
import { TransactionError } from './transactions/verdict.ts'

/** Long enough for a batch, short enough that an operator's death does not hold up readers of the audit for long. */
const TRANSACTION_TIMEOUT_MS = 10_000

export class OperationProducer {
  readonly #producer: TransactionalProducer

  private constructor(producer: TransactionalProducer) {
    this.#producer = producer
  }

  /** Becomes the runner: the broker refuses the old one from now on. Throws `SP_FENCED` or `SP_TRANSACTION`. */
  static async open(cluster: ProducerCluster, transactionalId: string): Promise<OperationProducer> {
    try {
      const settings = { transactionTimeoutMs: TRANSACTION_TIMEOUT_MS, clock: new BrokerClock(systemClock) }
      return new OperationProducer(await TransactionalProducer.open(cluster, transactionalId, settings))
    } catch (error) {
      throw failed(error)
    }
  }

  /**
   * Writes all or nothing. `audit` is given, by partition, one past the last offset of `writes`, and makes the audit
   * record. Returns that record's offset. Throws `SP_FENCED` when somebody else has taken the operation up, else
   * `SP_TRANSACTION`; either way this object must not be used again.
   */
  async write(
    writes: readonly PartitionWrites[],
    audit: (ends: ReadonlyMap<number, number>) => Omit<ProduceRecord, 'headers'>,
  ): Promise<number> {
    const producer = this.#producer
    try {
      const auditPlace = { topic: AUDIT_TOPIC, partition: 0 }
      await producer.begin([...writes, auditPlace])
      const written = await producer.write(writes)
      const ends = new Map(writes.map(({ partition }, i) => [partition, known(written[i])]))
      const [auditEnd] = await producer.write([{ ...auditPlace, records: [audit(ends)] }])
      const offset = known(auditEnd) - 1
      await producer.commit()
      return offset
    } catch (error) {
      throw failed(error)
    }
  }

  async close(): Promise<void> {
    await this.#producer.close()
  }
}

/** The broker says of a batch that it has already only that it has it. */
function known(end: number | undefined): number {
  if (end === undefined) throw new TransactionError('failed', 'the broker does not say where the records are')
  return end
}

function failed(error: unknown): SallyportError {
  if (!(error instanceof TransactionError)) throw error
  if (error.kind === 'fenced') {
    return new SallyportError(
      'SP_FENCED',
      'somebody else has taken this operation up; nothing more is sent here',
      { cause: error },
    )
  }
  return new SallyportError(
    'SP_TRANSACTION',
    `the operation stopped (${error.message}): run the same command again, it goes on where it stopped`,
    { cause: error, retryable: true },
  )
}
