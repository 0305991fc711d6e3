import type { Horizon } from '@sallyport/core/audit'
import { topicRetentions, withAdmin } from '@sallyport/core/kafka/admin'
import type { createKafka } from '@sallyport/core/kafka/client'
import type { PartitionReader } from '@sallyport/core/kafka/partition-reader'
import { processorTopics } from '@sallyport/core/topics'

/** How far the clocks of brokers may differ, ms. */
export const CLOCKS_DIFFER_MS = 10 * 60_000

/**
 * Since when operations on a processor matter: those that ended before its oldest dead letter have taken none that is
 * kept. Of a replay a record may still wait in the lane, for as long as that keeps it, while another attempt at its
 * event ends in the dead letter.
 */
export async function horizonOf(
  kafka: ReturnType<typeof createKafka>,
  reader: PartitionReader,
  processor: string,
): Promise<Horizon> {
  const { deadLetter, redrive } = processorTopics(processor, 0)
  const oldestAt = await reader.oldestAt(deadLetter)
  const retentions = await withAdmin(kafka, admin => topicRetentions(admin, [redrive]))
  const laneMs = retentions.get(redrive) ?? Number.POSITIVE_INFINITY
  return {
    redrives: (oldestAt ?? Number.POSITIVE_INFINITY) - CLOCKS_DIFFER_MS,
    replays: (oldestAt ?? Date.now()) - laneMs - CLOCKS_DIFFER_MS,
  }
}
