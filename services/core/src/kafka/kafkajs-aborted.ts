/**
 * Mends kafkajs's committed reading. It steps into one aborted transaction a record, and takes their list to be in order;
 * where a fetch begins within two of them, records of the second are handed over as if they had been committed.
 *
 * Here the records that belong to aborted transactions are found as Kafka's own consumer finds them, and are all said to
 * be of one producer whose transaction was aborted from the start on: that, kafkajs leaves out.
 *
 * Source: kafkajs 2.2.4, `consumer/filterAbortedMessages.js`; Kafka, `CompletedFetch.java` (`abortedTransactions`).
 */
import Broker from 'kafkajs/src/broker/index.js'

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
/** In the key of a control record, behind its version: the transaction was aborted. */
const ABORT_TYPE = 0

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
  const begins = abortedTransactions
    .map(({ producerId, firstOffset }) => ({ producerId, firstOffset: BigInt(firstOffset) }))
    .sort((a, b) => (a.firstOffset < b.firstOffset ? -1 : 1))
  const aborted = new Set<string>()
  let next = 0
  for (const message of messages) {
    const offset = BigInt(message.offset)
    for (; next < begins.length && (begins[next]?.firstOffset as bigint) <= offset; next++)
      aborted.add(begins[next]?.producerId as string)
    const { producerId, inTransaction } = message.batchContext
    if (isAbortMarker(message)) aborted.delete(producerId)
    else if (inTransaction && aborted.has(producerId))
      message.batchContext = { ...message.batchContext, producerId: ABORTED }
  }
  partition.abortedTransactions = [{ producerId: ABORTED, firstOffset: '0' }]
}

function isAbortMarker({ isControlRecord, key }: FetchedMessage): boolean {
  return isControlRecord && key !== null && key.length >= 4 && key.readInt16BE(2) === ABORT_TYPE
}
