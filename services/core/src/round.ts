/** What the headers of a record say of its way round again. */
import { HEADER, type ReadHeaders } from './headers.ts'
import { headerText } from './kafka/group-consumer.ts'

/**
 * Generation of the replay on whose behalf a record of this generation runs; 0: none. A record of an earlier version
 * that is not marked as replayed was redriven.
 */
export function replayOf(headers: ReadHeaders, generation: number): number {
  const redriven = headerText(headers, HEADER.redriven)
  if (redriven !== undefined) return /^\d{1,15}$/.test(redriven) ? Number(redriven) : 0
  return headerText(headers, HEADER.replayed) === 'true' ? generation : 0
}
