/**
 * Writes what an operator's action sends, together with the audit record that accounts for it, in one transaction:
 *
 *     (send* → commit)*
 *
 * Its transactional id belongs to one operation: whoever takes the operation up fences an earlier runner of it.
 *
 * After any error the object is of no more use.
 */
import { BrokerClock, systemClock } from '../clock.ts'
import { SallyportError } from '../errors.ts'
import { AUDIT_TOPIC } from '../topics.ts'
import type { PartitionWrites, ProduceRecord } from './produce-record.ts'
import type { ProducerCluster } from './transactions/producer-cluster.ts'
import type { BatchPlace } from './transactions/requests.ts'
import { TransactionalProducer } from './transactions/transactional-producer.ts'
import { TransactionError } from './transactions/verdict.ts'

/** Long enough for what is sent in a second or two, short enough that an operator's death does not hold up readers of the audit for long. */
const TRANSACTION_TIMEOUT_MS = 10_000

const AUDIT_PLACE: BatchPlace = { topic: AUDIT_TOPIC, partition: 0 }

export class OperationProducer {
  readonly #producer: TransactionalProducer
  #isOpen = false

  private constructor(producer: TransactionalProducer) {
    this.#producer = producer
  }

  /**
   * Becomes the runner: the broker refuses the old one from now on. `lanes`: where an earlier runner may have sent. Throws
   * `SP_FENCED` or `SP_TRANSACTION`.
   */
  static async open(
    cluster: ProducerCluster,
    transactionalId: string,
    lanes: readonly BatchPlace[],
  ): Promise<OperationProducer> {
    const settings = {
      transactionTimeoutMs: TRANSACTION_TIMEOUT_MS,
      clock: new BrokerClock(systemClock),
      written: [...lanes, AUDIT_PLACE],
    }
    return await orFailed(
      async () => new OperationProducer(await TransactionalProducer.open(cluster, transactionalId, settings)),
    )
  }

  /**
   * Sends records, in the transaction that is open or else in a new one. Returns, by partition, one past the offset of
   * the last one. Throws `SP_FENCED` when somebody else has taken the operation up, else `SP_TRANSACTION`: nothing since
   * the last `commit` was sent, and this object must not be used again.
   */
  async send(writes: readonly PartitionWrites[]): Promise<ReadonlyMap<number, number>> {
    return await orFailed(async () => {
      await this.#join(writes)
      const written = await this.#producer.write(writes)
      return new Map(writes.map(({ partition }, i) => [partition, known(written[i])]))
    })
  }

  /**
   * Writes the audit record and commits: what was sent since the last time and the record are there, or neither. Returns
   * the record's offset. Throws as `send` does.
   */
  async commit(audit: Omit<ProduceRecord, 'headers'>): Promise<number> {
    return await orFailed(async () => {
      await this.#join([AUDIT_PLACE])
      const [end] = await this.#producer.write([{ ...AUDIT_PLACE, records: [audit] }])
      const offset = known(end) - 1
      await this.#producer.commit()
      this.#isOpen = false
      return offset
    })
  }

  async close(): Promise<void> {
    await this.#producer.close()
  }

  async #join(places: readonly BatchPlace[]): Promise<void> {
    if (this.#isOpen) await this.#producer.join(places)
    else await this.#producer.begin(places)
    this.#isOpen = true
  }
}

async function orFailed<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw failed(error)
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
