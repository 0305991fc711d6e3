/**
 * Mends kafkajs's committed reading. It steps into one aborted transaction a record, and takes their list to be in order;
 * where a fetch begins within two of them, records of the second are handed over as if they had been committed.
 *
 * It also takes a record whose key looks like a marker's for one.
 *
 * Here the records that belong to aborted transactions are found by `AbortedTransactions`, and are said to be control
 * records: those kafkajs counts, and hands over none. Nothing is left for its own filter.
 *
 * Source: kafkajs 2.2.4, `consumer/filterAbortedMessages.js` and `consumer/batch.js`.
 */
import Broker from 'kafkajs/src/broker/index.js'
import { AbortedTransactions } from './aborted-transactions.ts'

export interface FetchedMessage {
  readonly offset: string
  readonly key: Buffer | null
  isControlRecord: boolean
  readonly batchContext: { readonly producerId: string; readonly inTransaction: boolean }
}

export interface FetchedPartition {
  abortedTransactions?: readonly { readonly producerId: string; readonly firstOffset: string }[]
  readonly messages: readonly FetchedMessage[]
}

const { fetch } = Broker.prototype

Broker.prototype.fetch = async function (request) {
  const answer = await fetch.call(this, request)
  for (const { partitions } of answer.responses) partitions.forEach(markAborted)
  return answer
}

/** Hides a partition's aborted records. */
export function markAborted(partition: FetchedPartition): void {
  const { abortedTransactions, messages } = partition
  if (!abortedTransactions?.length) return
  const aborted = new AbortedTransactions(
    abortedTransactions.map(({ producerId, firstOffset }) => ({
      producerId,
      firstOffset: BigInt(firstOffset),
    })),
  )
  for (const message of messages) {
    const { producerId, inTransaction } = message.batchContext
    aborted.reach(BigInt(message.offset))
    if (message.isControlRecord) aborted.control(producerId, message.key)
    else if (inTransaction && aborted.has(producerId)) message.isControlRecord = true
  }
  partition.abortedTransactions = []
}
