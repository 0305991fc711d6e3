import type { Connection } from '@sallyport/core/connection'
import type { FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import { PartitionReader } from '@sallyport/core/kafka/partition-reader'

/** The committed records of a topic that a processor reads: a fence, as `Topics.readAll` writes one, would be input. */
export async function committedRecords(connection: Connection, topic: string): Promise<FetchedRecord[]> {
  const reader = new PartitionReader(connection, 'test')
  const found: FetchedRecord[] = []
  for (const [partition, { low, high }] of await reader.bounds(topic)) {
    for await (const { records } of reader.read({ topic, partition, from: low, until: high })) {
      found.push(...records)
    }
  }
  await reader.close()
  return found
}
