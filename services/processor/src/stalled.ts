import { SallyportError } from '@sallyport/core/errors'
import type { PartitionEnd } from '@sallyport/core/kafka/partition-ends'

/** Whether an open transaction keeps committed reading from what lies behind it. */
export function isStalled({ stableOffset, highWatermark }: PartitionEnd): boolean {
  return stableOffset < highWatermark
}

/** `ms`: for how long the last stable offset has stood still. */
export function stalledError({ topic, partition, stableOffset, highWatermark }: PartitionEnd, ms: number) {
  return new SallyportError(
    'SP_STALLED',
    `${topic}/${partition} cannot be read beyond ${stableOffset}, ${highWatermark - stableOffset} before its end, for ${Math.round(ms / 1_000)} s: a transaction was left open; find it with kafka-transactions.sh find-hanging, and abort it`,
  )
}
