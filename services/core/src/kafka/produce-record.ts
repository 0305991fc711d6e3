import type { ReadHeaders } from '../headers.ts'

/** A record to write. */
export interface ProduceRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers?: ReadHeaders
}

/** The records of one transaction for one partition of one topic. */
export interface PartitionWrites {
  readonly topic: string
  readonly partition: number
  readonly records: readonly ProduceRecord[]
}

/** One past the last settled record of an input. */
export interface InputPosition {
  readonly topic: string
  readonly offset: number
}

const RECORD_OVERHEAD_BYTES = 100

/** The most that a record takes in a batch, before it is encoded. */
export function recordBytes(record: ProduceRecord): number {
  let bytes = RECORD_OVERHEAD_BYTES + (record.key?.length ?? 0) + (record.value?.length ?? 0)
  const headers = record.headers ?? {}
  for (const name in headers) {
    const value = headers[name]
    const length = Array.isArray(value)
      ? value.reduce((sum, item) => sum + (item?.length ?? 0), 0)
      : (value?.length ?? 0)
    bytes += name.length + length * 3 + 8
  }
  return bytes
}
