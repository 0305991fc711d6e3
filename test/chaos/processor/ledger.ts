/**
 * Replays the claims topic from its start: at every moment of the run, every record below a committed position must
 * have a settled claim. A claim and the position that passes its record are in one transaction, the claim first.
 */

import { HEADER } from '@sallyport/core/headers'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import { CLAIM_SCHEMA, POSITIONS_SCHEMA } from '@sallyport/processor/config'
import { isStray } from './load.ts'
import type { LogRecord } from './partition-log.ts'
import type { TopicLog } from './topic-log.ts'

export interface ClaimSeen {
  readonly state: 'PENDING' | 'DONE' | 'DEAD'
  readonly generation: number
  readonly attempt: number
}

export interface Ledger {
  /** Last claim of each event id. */
  readonly claims: ReadonlyMap<string, ClaimSeen>
  /** `topic/partition` → last committed position. */
  readonly positions: ReadonlyMap<string, number>
  readonly problems: readonly string[]
  /** Records that were looked up below a position. */
  readonly checked: number
}

/** `inputs`: the topics that positions speak of, read raw. */
export function replayClaims(claimsLog: TopicLog, inputs: readonly TopicLog[]): Ledger {
  const claims = new Map<string, ClaimSeen>()
  const positions = new Map<string, number>()
  const problems: string[] = []
  const byPlace = new Map<string, LogRecord[]>()
  for (const { topic, partitions } of inputs) {
    for (const [partition, { records }] of partitions.entries()) {
      byPlace.set(
        `${topic}/${partition}`,
        records.filter(({ state }) => state === 'committed'),
      )
    }
  }
  const cursors = new Map<string, number>()
  let checked = 0

  function pass(place: string, position: number, at: LogRecord): void {
    const before = positions.get(place) ?? 0
    const where = `claims/${at.partition}/${at.offset}`
    if (position < before)
      problems.push(`${where}: the position of ${place} goes back from ${before} to ${position}`)
    positions.set(place, position)
    const records = byPlace.get(place) ?? []
    let cursor = cursors.get(place) ?? 0
    for (; cursor < records.length; cursor++) {
      const record = records[cursor] as LogRecord
      if (record.offset >= position) break
      if (isStray(record)) continue
      checked++
      const attempt = record.topic === EVENTS_TOPIC ? 0 : Number(record.headers[HEADER.attempt])
      const generation = Number(record.headers[HEADER.generation] ?? 0)
      const claim = claims.get(record.key)
      const settled = claim !== undefined && isSettled(claim, generation, attempt)
      if (!settled) {
        const found = claim === undefined ? 'no claim' : `${claim.state} of attempt ${claim.attempt}`
        problems.push(
          `${where}: position ${position} passes ${place}/${record.offset} (${record.key}): ${found}`,
        )
      }
    }
    cursors.set(place, cursor)
  }

  for (const record of claimsLog.committed) {
    if (record.key === '#positions' && record.value !== null) {
      const { inputs } = POSITIONS_SCHEMA.type.fromBuffer(record.value.subarray(5)) as {
        inputs: Record<string, number>
      }
      for (const [topic, position] of Object.entries(inputs))
        pass(`${topic}/${record.partition}`, position, record)
    } else if (!record.key.startsWith('#') && record.value !== null) {
      claims.set(record.key, claimOf(record))
    }
  }
  return { claims, positions, problems, checked }
}

/** A redriven record whose id took effect without it is settled; one whose id is as it died is not. */
function isSettled(claim: ClaimSeen, generation: number, attempt: number): boolean {
  if (claim.state === 'DONE') return true
  return claim.generation >= generation && (claim.state !== 'PENDING' || claim.attempt > attempt)
}

export function claimOf({ value }: LogRecord): ClaimSeen {
  return CLAIM_SCHEMA.type.fromBuffer((value as Buffer).subarray(5)) as ClaimSeen
}
