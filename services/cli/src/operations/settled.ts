/** How far a processor has settled what it reads, by the positions in its claims topic; the group's offsets only mirror them. */
import type { FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import type { PartitionReader, ReadRequest } from '@sallyport/core/kafka/partition-reader'
import type { Schemas } from '@sallyport/core/registry-reader'
import { RegistryReader } from '@sallyport/core/registry-reader'
import { POSITIONS_KEY } from '@sallyport/processor/claims-record'
import { POSITIONS_SCHEMA } from '@sallyport/processor/config'

/** Every transaction ends with the positions: they are near the end of the topic. */
const TAIL_RECORDS = 1_000
const TAIL_GROWTH = 16

/** Topic → first offset that is not settled, in one partition; undefined where no task ever owned it. */
export type Settled = Readonly<Record<string, number>> | undefined

/** The last positions record of a partition of a claims topic. */
export async function settledPositions(
  reader: PartitionReader,
  registry: Schemas,
  claims: string,
  partition: number,
): Promise<Settled> {
  const { low, high } = (await reader.bounds(claims)).get(partition) ?? { low: 0, high: 0 }
  for (let records = TAIL_RECORDS; ; records *= TAIL_GROWTH) {
    const from = Math.max(low, high - records)
    let last: FetchedRecord | undefined
    for await (const batch of reader.read({ topic: claims, partition, from, until: high })) {
      last = batch.records.findLast(({ key }) => String(key) === POSITIONS_KEY) ?? last
    }
    if (last === undefined && from > low) continue
    const value = last?.value ?? null
    if (value === null) return undefined
    const positions = new RegistryReader<{ inputs: Record<string, number> }>(POSITIONS_SCHEMA, registry)
    return (await positions.decode(value)).inputs
  }
}

/** The first record between two offsets: markers of transactions lie there too, and are none. */
export async function firstRecord(
  reader: PartitionReader,
  request: ReadRequest & { readonly until: number },
): Promise<FetchedRecord | undefined> {
  for await (const { records } of reader.read(request)) {
    if (records[0] !== undefined) return records[0]
  }
  return undefined
}
