/**
 * Mends kafkajs's committed reading. It steps into one aborted transaction a record, and takes their list to be in order;
 * where a fetch begins within two of them, records of the second are handed over as if they had been committed.
 *
 * Here the records that belong to aborted transactions are found by `AbortedTransactions`, and are all said to be of one
 * producer whose transaction was aborted from the start on: that, kafkajs leaves out.
 *
 * Source: kafkajs 2.2.4, `consumer/filterAbortedMessages.js`.
 */
import Broker from 'kafkajs/src/broker/index.js'
import { AbortedTransactions } from './aborted-transactions.ts'

export interface FetchedMessage {
  readonly offset: string
  readonly key: Buffer | null
  readonly isControlRecord: boolean
  batchContext: { readonly producerId: string; readonly inTransaction: boolean }
}

export interface FetchedPartition {
  abortedTransactions?: readonly { readonly producerId: string; readonly firstOffset: string }[]
  readonly messages: readonly FetchedMessage[]
}

/** No producer has it: Kafka's ids are numbers. */
const ABORTED = 'aborted'

const { fetch } = Broker.prototype

Broker.prototype.fetch = async function (request) {
  const answer = await fetch.call(this, request)
  for (const { partitions } of answer.responses) partitions.forEach(markAborted)
  return answer
}

/** Gathers a partition's aborted records under one producer. */
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
    else if (inTransaction && aborted.has(producerId))
      message.batchContext = { ...message.batchContext, producerId: ABORTED }
  }
  partition.abortedTransactions = [{ producerId: ABORTED, firstOffset: '0' }]
}
