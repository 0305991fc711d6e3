/**
 * One produce request: batches for some partitions that one broker leads. The library brings connection, framing
 * and the answer's parser; the batches come ready-made, so that the same bytes can be sent again.
 *
 * Source: Kafka protocol guide, Produce request and response, version 9.
 */
import {
  type Connection as KafkaConnection,
  ProduceAcks,
  produceV9,
  protocolErrorsCodesById,
  type ResponseError,
  Writer,
} from '@platformatic/kafka'

export interface PartitionBatch {
  readonly partition: number
  readonly bytes: Buffer
}

/** Kafka's error code by partition; 0 is success. Partitions that the answer leaves out are not in it. */
export type ProduceAnswer = ReadonlyMap<number, number>

const PRODUCE = 0
const VERSION = 9

/**
 * Sends batches with acks=all and gives what the broker says of each. `brokerTimeoutMs`: how long the broker waits
 * for the replicas before it says REQUEST_TIMED_OUT. Rejects when no answer comes: then every batch may or may not
 * have been written.
 */
export function produce(
  connection: KafkaConnection,
  topic: string,
  batches: readonly PartitionBatch[],
  brokerTimeoutMs: number,
): Promise<ProduceAnswer> {
  return new Promise((resolve, reject) => {
    connection.send<produceV9.ProduceResponse>(
      PRODUCE,
      VERSION,
      () => requestOf(topic, batches, brokerTimeoutMs),
      produceV9.parseResponse,
      true,
      true,
      (error, answer) => {
        // Refused partitions make the parser throw; the answer says which, and that the others are written.
        const given =
          error === null ? answer : (error as ResponseError & { response?: typeof answer }).response
        if (given === undefined) reject(error)
        else resolve(codesOf(given))
      },
    )
  })
}

function requestOf(topic: string, batches: readonly PartitionBatch[], brokerTimeoutMs: number): Writer {
  return Writer.create()
    .appendString(null)
    .appendInt16(ProduceAcks.ALL)
    .appendInt32(brokerTimeoutMs)
    .appendArray([topic], w => {
      w.appendString(topic).appendArray([...batches], (entry, { partition, bytes }) => {
        entry
          .appendInt32(partition)
          .appendUnsignedVarInt(bytes.length + 1)
          .append(bytes)
      })
    })
    .appendTaggedFields()
}

function codesOf(answer: produceV9.ProduceResponse): ProduceAnswer {
  const codes = new Map<number, number>()
  for (const { partitionResponses } of answer.responses) {
    for (const { index, errorCode } of partitionResponses) codes.set(index, errorCode)
  }
  return codes
}

/** Kafka's name of an error code, e.g. `NOT_LEADER_OR_FOLLOWER`. */
export function errorName(code: number): string {
  return (protocolErrorsCodesById as Record<number, string>)[code] ?? `error ${code}`
}

/**
 * What a partition's error code asks for:
 * - `written`: the batch is in the log; also what was there already
 * - `again`: the same bytes may succeed later, perhaps at another broker
 * - `renumber`: the broker does not know the writer or its sequence; only new numbers help
 * - `refused`: never as it is
 */
export type ProduceVerdict = 'written' | 'again' | 'renumber' | 'refused'

const VERDICTS: Readonly<Record<number, ProduceVerdict>> = {
  0: 'written',
  46: 'written', // DUPLICATE_SEQUENCE_NUMBER
  2: 'again', // CORRUPT_MESSAGE: damaged on the way
  3: 'again', // UNKNOWN_TOPIC_OR_PARTITION: also a broker that has not heard of it yet
  5: 'again', // LEADER_NOT_AVAILABLE
  6: 'again', // NOT_LEADER_OR_FOLLOWER
  7: 'again', // REQUEST_TIMED_OUT: written, but not by all replicas in time
  8: 'again', // BROKER_NOT_AVAILABLE
  13: 'again', // NETWORK_EXCEPTION
  19: 'again', // NOT_ENOUGH_REPLICAS
  20: 'again', // NOT_ENOUGH_REPLICAS_AFTER_APPEND
  56: 'again', // KAFKA_STORAGE_ERROR: the broker's disk; another one will lead
  74: 'again', // FENCED_LEADER_EPOCH
  75: 'again', // UNKNOWN_LEADER_EPOCH
  89: 'again', // THROTTLING_QUOTA_EXCEEDED
  45: 'renumber', // OUT_OF_ORDER_SEQUENCE_NUMBER
  47: 'renumber', // INVALID_PRODUCER_EPOCH
  49: 'renumber', // INVALID_PRODUCER_ID_MAPPING
  59: 'renumber', // UNKNOWN_PRODUCER_ID
  90: 'renumber', // PRODUCER_FENCED
}

export function verdictOf(code: number): ProduceVerdict {
  return VERDICTS[code] ?? 'refused'
}
