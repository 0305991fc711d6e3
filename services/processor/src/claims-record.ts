/** The records of a claims topic: a claim per event id, and two whose keys are no event ids. */
import { encodeWire } from '@sallyport/core/codec'
import type { InputLog } from '@sallyport/core/contract'
import type { InputPosition, ProduceRecord } from '@sallyport/core/kafka/produce-record'
import type { Claim } from './claim.ts'
import { BARRIER_SCHEMA, CLAIM_SCHEMA, POSITIONS_SCHEMA } from './config.ts'

/** Key of the positions record. Event ids start with a source's name, which cannot begin so (decode.ts sees to it). */
export const POSITIONS_KEY = '#positions'
/** Key of the barrier. */
export const BARRIER_KEY = '#barrier'
/** What keys start with that are no event ids. */
const OWN_KEY = 0x23

/** Whether a record of the claims topic is the claim of an event id. */
export function isClaimKey(key: Buffer): boolean {
  return key[0] !== OWN_KEY
}

/** The claim of an event id, which is the key; when it was written, the record says. */
export function claimRecord(schemaId: number, key: Buffer, claim: Omit<Claim, 'at'>): ProduceRecord {
  return { key, value: encodeWire(schemaId, CLAIM_SCHEMA.type, claim) }
}

/** Where a task stands in one input, and in which log; the latter is not known of positions of earlier versions. */
export interface InputStanding extends InputPosition {
  readonly log?: InputLog | undefined
}

/** Where a task stands: the first record of each input that is not settled. */
export function positionsRecord(schemaId: number, standings: readonly InputStanding[]): ProduceRecord {
  const inputs = Object.fromEntries(standings.map(({ topic, offset }) => [topic, offset]))
  const logs = Object.fromEntries(
    standings.flatMap(({ topic, log }) => (log === undefined ? [] : [[topic, log]])),
  )
  return {
    key: Buffer.from(POSITIONS_KEY),
    value: encodeWire(schemaId, POSITIONS_SCHEMA.type, { inputs, logs }),
  }
}

/** What expired of a redrive lane before it was processed: from one offset up to another. */
export interface LostRange {
  readonly from: number
  readonly until: number
  /** When that was found, ms since the epoch, the brokers' clock. What was sent later lies behind it. */
  readonly at: number
}

/** What the names of a lane's marks beside the positions end with; no topic's name has such a sign. */
const LOST_FROM = '#lost-from'
const LOST_UNTIL = '#lost-until'
const LOST_AT = '#lost-at'

/** What the positions say that a lane lost. */
export function lostOf(lane: string, inputs: Readonly<Record<string, number>>): LostRange | undefined {
  const [from, until, at] = [LOST_FROM, LOST_UNTIL, LOST_AT].map(mark => inputs[lane + mark])
  return from === undefined || until === undefined || at === undefined ? undefined : { from, until, at }
}

/**
 * Positions with a mark of what a lane lost, and lost before: behind the window nothing else tells an operator that
 * what he sent round was never processed.
 */
export function withLost(
  standings: readonly InputStanding[],
  lane: string,
  { from, until, at }: LostRange,
): InputStanding[] {
  const before = lostOf(lane, Object.fromEntries(standings.map(({ topic, offset }) => [topic, offset])))
  const others = standings.filter(({ topic }) => !topic.startsWith(`${lane}#`))
  return [
    ...others,
    { topic: lane + LOST_FROM, offset: Math.min(from, before?.from ?? from) },
    { topic: lane + LOST_UNTIL, offset: Math.max(until, before?.until ?? until) },
    { topic: lane + LOST_AT, offset: Math.round(Math.max(at, before?.at ?? at)) },
  ]
}

/** An owner's first record, which it knows again by the nonce; `process` tells the next owner whose it was. */
export function barrierRecord(schemaId: number, nonce: string, process: string): ProduceRecord {
  const value = encodeWire(schemaId, BARRIER_SCHEMA.type, { nonce, process })
  return { key: Buffer.from(BARRIER_KEY), value }
}

/** The last record of an owner that has drained: nothing of it is under way. */
export function farewellRecord(schemaId: number): ProduceRecord {
  return barrierRecord(schemaId, '', '')
}
