/**
 * Transactions as kafkajs makes them: EndTxn v1, Produce v7, partitions added one by one, and one producer epoch for all
 * transactions of a producer's life. The product does not use them; tests show with them what the proxy can tear.
 */
import type kafkajs from 'kafkajs'
import { rawKafka, rawTransactionalProducer } from './raw-kafka.ts'
import type { ConnectTransactor, Transactor } from './torn-transactions/transactor.ts'

export const kafkajsTransactor: ConnectTransactor = async ({ brokers, groupId, partition }) => {
  const producer = await rawTransactionalProducer(rawKafka(brokers), `${groupId}-${partition}`, 5_000)
  return new KafkajsTransactor(producer, groupId, partition)
}

class KafkajsTransactor implements Transactor {
  readonly #producer: kafkajs.Producer
  readonly #groupId: string
  readonly #partition: number

  constructor(producer: kafkajs.Producer, groupId: string, partition: number) {
    this.#producer = producer
    this.#groupId = groupId
    this.#partition = partition
  }

  transact: Transactor['transact'] = async (claims, others, positions) => {
    const transaction = await this.#producer.transaction()
    for (const { topic, partition, records } of [claims, ...others]) {
      const messages = records.map(record => ({ ...record, partition }))
      await transaction.send({ topic, acks: -1, messages })
    }
    await transaction.sendOffsets({
      consumerGroupId: this.#groupId,
      topics: positions.map(({ topic, offset }) => ({
        topic,
        partitions: [{ partition: this.#partition, offset: String(offset) }],
      })),
    })
    await transaction.commit()
  }

  async close(): Promise<void> {
    await this.#producer.disconnect().catch(() => {})
  }
}
