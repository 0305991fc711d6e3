/** One partition as its log has it: its records, the markers between them, and how each record's transaction ended. */
import type { fetchV15 } from '@platformatic/kafka'

/** What ends a producer's transaction in one partition. */
export interface Marker {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
  readonly producerId: bigint
  /** At least that of the records; above it where the end bumped the epoch (transaction version 2, and fencing). */
  readonly epoch: number
  readonly type: 'COMMIT' | 'ABORT'
  /** Which coordinator wrote it: the leader epoch of its partition of `__transaction_state`. */
  readonly coordinatorEpoch: number
}

/** Who wrote a transaction's record. */
export interface Producer {
  readonly id: bigint
  readonly epoch: number
}

/** A record of a topic. `state` is `open` while no marker has ended its transaction. */
export interface LogRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
  readonly key: string
  readonly value: Buffer | null
  readonly headers: Readonly<Record<string, string>>
  /** Null outside transactions. */
  readonly producer: Producer | null
  state: 'committed' | 'aborted' | 'open'
  /** What ended its transaction here; null while it is open, and outside transactions. */
  end: Marker | null
}

export type Batch = NonNullable<fetchV15.FetchResponsePartition['records']>[number]

const LOG_APPEND_TIME = 1 << 3
const TRANSACTIONAL = 1 << 4
const CONTROL = 1 << 5
/** The types in a control record's key, behind its version. */
const MARKERS: Readonly<Record<number, Marker['type']>> = { 0: 'ABORT', 1: 'COMMIT' }
const NO_VALUE = Buffer.alloc(0)

export class PartitionLog {
  readonly topic: string
  readonly partition: number
  readonly records: LogRecord[] = []
  readonly markers: Marker[] = []
  /** Offset of what comes next. */
  position = 0n
  readonly #keepsValues: boolean
  /** Open transactions by producer id: a partition has one of a producer at most. */
  readonly #open = new Map<bigint, LogRecord[]>()

  /** `keepsValues`: else every value that is there is an empty one; millions of records fit into memory then. */
  constructor(topic: string, partition: number, keepsValues: boolean) {
    this.topic = topic
    this.partition = partition
    this.#keepsValues = keepsValues
  }

  /** Takes the next batch; one that was taken before changes nothing. */
  take(batch: Batch): void {
    const next = batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n
    if (next <= this.position) return
    if ((batch.attributes & CONTROL) !== 0) this.#takeMarker(batch)
    else this.#takeRecords(batch)
    this.position = next
  }

  /** The committed records that were not taken before, and forgets them and the markers. */
  takeCommitted(): LogRecord[] {
    const taken = this.records.filter(({ state }) => state === 'committed')
    const open = this.records.filter(({ state }) => state === 'open')
    this.records.splice(0, this.records.length, ...open)
    this.markers.length = 0
    return taken
  }

  #takeMarker(batch: Batch): void {
    const record = batch.records[0]
    const type = MARKERS[record?.key?.readInt16BE(2) ?? -1]
    if (record === undefined || type === undefined) return
    const marker: Marker = {
      topic: this.topic,
      partition: this.partition,
      offset: Number(batch.firstOffset),
      timestamp: Number(batch.maxTimestamp),
      producerId: batch.producerId,
      epoch: batch.producerEpoch,
      type,
      coordinatorEpoch: record.value?.readInt32BE(2) ?? -1,
    }
    this.markers.push(marker)
    for (const ended of this.#open.get(marker.producerId) ?? []) {
      ended.state = type === 'COMMIT' ? 'committed' : 'aborted'
      ended.end = marker
    }
    this.#open.delete(marker.producerId)
  }

  #takeRecords(batch: Batch): void {
    const isTransaction = (batch.attributes & TRANSACTIONAL) !== 0
    const producer = isTransaction ? { id: batch.producerId, epoch: batch.producerEpoch } : null
    const isAppendTime = (batch.attributes & LOG_APPEND_TIME) !== 0
    const records = batch.records
      .filter(({ offsetDelta }) => batch.firstOffset + BigInt(offsetDelta) >= this.position)
      .map((record): LogRecord => {
        const headers = record.headers.map(([name, value]) => [String(name), String(value ?? '')] as const)
        const timestamp = isAppendTime ? batch.maxTimestamp : batch.firstTimestamp + record.timestampDelta
        return {
          topic: this.topic,
          partition: this.partition,
          offset: Number(batch.firstOffset) + record.offsetDelta,
          timestamp: Number(timestamp),
          key: String(record.key),
          value: this.#keepsValues || record.value === null ? record.value : NO_VALUE,
          headers: Object.fromEntries(headers),
          producer,
          state: isTransaction ? 'open' : 'committed',
          end: null,
        }
      })
    this.records.push(...records)
    if (isTransaction)
      this.#open.set(batch.producerId, [...(this.#open.get(batch.producerId) ?? []), ...records])
  }
}
