/**
 * What an error code asks of a transaction. A producer does one thing of four; there is no other place that reads codes.
 *
 * | verdict | the producer |
 * |---|---|
 * | `done` | goes on |
 * | `again` | sends the same request again, after a pause |
 * | `moved` | asks who leads or coordinates now, and sends the same request again |
 * | `fenced` | is over: somebody newer has its transactional id, or the coordinator aborted a transaction that took too long |
 * | `failed` | is over: the transaction must be aborted, or nothing that waiting mends is wrong |
 *
 * A request whose answer stays away counts as `moved`, for it can be sent again: a batch carries its sequence number, an
 * epoch is given out once, partitions are added to a transaction once, and the end of a transaction carries its epoch.
 *
 * Source: org.apache.kafka.common.protocol.Errors; org.apache.kafka.clients.producer.internals.TransactionManager and
 * Sender; KIP-360, KIP-890, KIP-1050.
 */
import { errorName } from '../produce.ts'

export type Verdict = 'done' | 'again' | 'moved' | 'fenced' | 'failed'

const VERDICTS: Readonly<Record<number, Verdict>> = {
  0: 'done',
  46: 'done', // DUPLICATE_SEQUENCE_NUMBER: it is in the log already

  2: 'again', // CORRUPT_MESSAGE: damaged on the way
  7: 'again', // REQUEST_TIMED_OUT: written, but not by all replicas in time
  14: 'again', // COORDINATOR_LOAD_IN_PROGRESS
  19: 'again', // NOT_ENOUGH_REPLICAS
  20: 'again', // NOT_ENOUGH_REPLICAS_AFTER_APPEND
  51: 'again', // CONCURRENT_TRANSACTIONS: the transaction before still gets its markers
  56: 'again', // KAFKA_STORAGE_ERROR: the broker's disk; another one will lead
  89: 'again', // THROTTLING_QUOTA_EXCEEDED

  3: 'moved', // UNKNOWN_TOPIC_OR_PARTITION: also a broker that has not heard of it yet
  5: 'moved', // LEADER_NOT_AVAILABLE
  6: 'moved', // NOT_LEADER_OR_FOLLOWER
  8: 'moved', // BROKER_NOT_AVAILABLE
  9: 'moved', // REPLICA_NOT_AVAILABLE
  13: 'moved', // NETWORK_EXCEPTION
  15: 'moved', // COORDINATOR_NOT_AVAILABLE
  16: 'moved', // NOT_COORDINATOR
  74: 'moved', // FENCED_LEADER_EPOCH
  75: 'moved', // UNKNOWN_LEADER_EPOCH

  47: 'fenced', // INVALID_PRODUCER_EPOCH
  49: 'fenced', // INVALID_PRODUCER_ID_MAPPING
  90: 'fenced', // PRODUCER_FENCED
}

/** The verdict on an error code; what is not in the table is `failed`. */
export function verdictOf(code: number): Verdict {
  return VERDICTS[code] ?? 'failed'
}

/** Why a producer is over, as its user must know it. */
export type FailureKind =
  /** Nothing was committed: there is a newer owner, or the transaction took too long. */
  | 'fenced'
  /** Nothing was committed. */
  | 'failed'
  /** The end was asked for and not answered: the transaction may be committed or aborted. */
  | 'unknown'

/** A transactional producer is over. */
export class TransactionError extends Error {
  readonly kind: FailureKind

  constructor(kind: FailureKind, message: string, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
  }
}

/** The error for a verdict that ends a producer. */
export function failureOf(verdict: 'fenced' | 'failed', step: string, code: number): TransactionError {
  return new TransactionError(verdict, `${step}: ${errorName(code)}`)
}
