/**
 * What a proxy knows of a request that passes: its header, and for the requests of a transaction whose they are.
 * Bodies are read for the versions that brokers 3.9 to 4.4 take; of any other request only the header is known.
 */
import { protocolAPIsById, Reader } from '@platformatic/kafka'

/** A request of which the body is read, too. */
export type TransactionApi =
  | 'Produce'
  | 'InitProducerId'
  | 'AddPartitionsToTxn'
  | 'AddOffsetsToTxn'
  | 'TxnOffsetCommit'
  | 'EndTxn'
  | 'WriteTxnMarkers'

/** A producer's transaction, as far as one request tells of it. */
export interface Transaction {
  /** Null in a Produce without one, undefined where the request does not tell. */
  readonly transactionalId: string | null | undefined
  /** -1 where the broker is to choose; undefined where the request does not tell. */
  readonly producerId: bigint | undefined
  readonly epoch: number | undefined
  /** Of EndTxn and WriteTxnMarkers: whether it commits. */
  readonly commits: boolean | undefined
  /** `topic/partition` of each partition that is named; the topic's id stands for its name where the request has it so. */
  readonly partitions: readonly string[]
}

export interface KafkaRequest {
  /** Kafka's name of the API, or its number. */
  readonly api: string
  readonly version: number
  readonly correlationId: number
  readonly clientId: string | null
  /** The broker that it goes to, from 0. */
  readonly broker: number
  /** Who sent it: a client, or another broker. */
  readonly from: 'client' | 'broker'
  /** Several where brokers speak for many producers; none for requests that are not read. */
  readonly transactions: readonly Transaction[]
  /** All its bytes, the length first. */
  readonly frame: Buffer
}

/** From which version on an API has compact strings and tagged fields. */
const FLEXIBLE_FROM: Readonly<Record<TransactionApi, number>> = {
  Produce: 9,
  InitProducerId: 2,
  AddPartitionsToTxn: 3,
  AddOffsetsToTxn: 3,
  TxnOffsetCommit: 3,
  EndTxn: 3,
  WriteTxnMarkers: 1,
}
const LENGTH_BYTES = 4
/** Where the producer's id and epoch are in a record batch. */
const BATCH_PRODUCER_ID = 43
const BATCH_EPOCH = 51
/** From this version on a Produce names its topics by their ids. */
const PRODUCE_TOPIC_IDS_FROM = 13
/** From this version on AddPartitionsToTxn speaks for many transactions: brokers ask so whether one is under way. */
const ADD_PARTITIONS_MANY_FROM = 4

const NOTHING: Transaction = {
  transactionalId: undefined,
  producerId: undefined,
  epoch: undefined,
  commits: undefined,
  partitions: [],
}

/** Reads a request. Never throws: a body that cannot be read has no transactions. */
export function readRequest(frame: Buffer, sent: Pick<KafkaRequest, 'broker' | 'from'>): KafkaRequest {
  const reader = Reader.from(frame.subarray(LENGTH_BYTES))
  const apiKey = reader.readInt16()
  const version = reader.readInt16()
  const correlationId = reader.readInt32()
  const clientId = reader.readNullableString(false)
  const api = (protocolAPIsById as Readonly<Record<number, string>>)[apiKey] ?? String(apiKey)
  const transactions = api in FLEXIBLE_FROM ? readBody(reader, api as TransactionApi, version) : []
  return { ...sent, api, version, correlationId, clientId, transactions, frame }
}

function readBody(reader: Reader, api: TransactionApi, version: number): Transaction[] {
  const compact = version >= FLEXIBLE_FROM[api]
  try {
    if (compact) reader.readTaggedFields()
    return new Body(reader, version, compact)[api]()
  } catch {
    return []
  }
}

/** Reads bodies up to the last thing that is wanted of them. */
class Body implements Readonly<Record<TransactionApi, () => Transaction[]>> {
  readonly #reader: Reader
  readonly #version: number
  readonly #compact: boolean

  constructor(reader: Reader, version: number, compact: boolean) {
    this.#reader = reader
    this.#version = version
    this.#compact = compact
  }

  Produce(): Transaction[] {
    const transactionalId = this.#reader.readNullableString(this.#compact)
    this.#reader.skip(2 + 4)
    let producer: Pick<Transaction, 'producerId' | 'epoch'> = NOTHING
    const partitions = this.#array(() => {
      const topic =
        this.#version >= PRODUCE_TOPIC_IDS_FROM
          ? this.#reader.readUUID()
          : this.#reader.readString(this.#compact)
      return this.#array(() => {
        const partition = this.#reader.readInt32()
        const batch = this.#reader.readNullableBytes(this.#compact)
        if (batch !== null && batch.length > BATCH_EPOCH + 2) {
          producer = {
            producerId: batch.readBigInt64BE(BATCH_PRODUCER_ID),
            epoch: batch.readInt16BE(BATCH_EPOCH),
          }
        }
        return `${topic}/${partition}`
      })
    }).flat()
    return [{ ...NOTHING, ...producer, transactionalId, partitions }]
  }

  InitProducerId(): Transaction[] {
    const transactionalId = this.#reader.readNullableString(this.#compact)
    this.#reader.skip(4)
    return [{ ...NOTHING, transactionalId, ...(this.#version >= 3 ? this.#producer() : {}) }]
  }

  AddPartitionsToTxn(): Transaction[] {
    if (this.#version < ADD_PARTITIONS_MANY_FROM) return [this.#addPartitions(false)]
    return this.#array(() => this.#addPartitions(true))
  }

  AddOffsetsToTxn(): Transaction[] {
    return [{ ...NOTHING, transactionalId: this.#reader.readString(this.#compact), ...this.#producer() }]
  }

  TxnOffsetCommit(): Transaction[] {
    const transactionalId = this.#reader.readString(this.#compact)
    this.#reader.readString(this.#compact)
    return [{ ...NOTHING, transactionalId, ...this.#producer() }]
  }

  EndTxn(): Transaction[] {
    const transactionalId = this.#reader.readString(this.#compact)
    return [{ ...NOTHING, transactionalId, ...this.#producer(), commits: this.#reader.readBoolean() }]
  }

  WriteTxnMarkers(): Transaction[] {
    return this.#array(() => {
      const producer = this.#producer()
      const commits = this.#reader.readBoolean()
      const partitions = this.#topics()
      // The coordinator's epoch, and from version 2 on the transaction's version.
      this.#reader.skip(this.#version >= 2 ? 5 : 4)
      return { ...NOTHING, ...producer, commits, partitions }
    })
  }

  #addPartitions(isOneOfMany: boolean): Transaction {
    const transactionalId = this.#reader.readString(this.#compact)
    const producer = this.#producer()
    if (isOneOfMany) this.#reader.readBoolean()
    return { ...NOTHING, transactionalId, ...producer, partitions: this.#topics() }
  }

  #producer(): Pick<Transaction, 'producerId' | 'epoch'> {
    return { producerId: this.#reader.readInt64(), epoch: this.#reader.readInt16() }
  }

  #topics(): string[] {
    return this.#array(() => {
      const topic = this.#reader.readString(this.#compact)
      return this.#reader
        .readArray(() => this.#reader.readInt32(), this.#compact, false)
        .map(partition => `${topic}/${partition}`)
    }).flat()
  }

  /** An array of structures. */
  #array<T>(read: () => T): T[] {
    return this.#reader.readArray(read, this.#compact, this.#compact)
  }
}
