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

/** An owner's first record, which it knows again by the nonce. */
export function barrierRecord(schemaId: number, nonce: string): ProduceRecord {
  return { key: Buffer.from(BARRIER_KEY), value: encodeWire(schemaId, BARRIER_SCHEMA.type, { nonce }) }
}
