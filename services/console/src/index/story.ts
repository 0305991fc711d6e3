/** Everything that the topics say of one event. */
import type { DatabaseSync } from 'node:sqlite'
import type { AttemptRecord } from '@sallyport/core/attempt'
import { type EventOutcome, outcomeOf } from './outcome.ts'
import { sequenceMs } from './sequence.ts'
import type { Envelope } from './writer.ts'

/** What a processor's claim says. */
export interface ClaimStory {
  readonly processor: string
  readonly outcome: EventOutcome
  /** retrying: the attempt that is awaited. Otherwise: the last one. */
  readonly attempt: number
  readonly generation: number
  readonly at: number
}

/** A record of the event beyond the first; `at` is Kafka's time. */
export type Step = {
  readonly at: number
  readonly processor: string
  /** `topic/partition/offset`. */
  readonly record: string
  /** Offset in `sallyport.audit` of the operation that it belongs to; 0 for none. */
  readonly generation: number
} & (
  | { readonly kind: 'retry'; readonly tier: number; readonly failed: AttemptRecord | null }
  | {
      readonly kind: 'dead letter'
      readonly attempt: number
      readonly reason: string
      readonly code: string
      readonly message: string
      readonly by: string
      readonly attempts: readonly AttemptRecord[]
    }
  | { readonly kind: 'redrive' }
)

/** An operator's action that sent the event round again. */
export interface OperationStory {
  readonly generation: number
  readonly at: number
  readonly record: unknown
}

export interface EventStory extends Envelope {
  readonly id: string
  readonly source: string
  readonly type: string
  readonly outcome: EventOutcome
  /** When Kafka took it, ms since the epoch. */
  readonly acceptedAt: number
  /** `topic/partition/offset`; null where the topic no longer has it. */
  readonly record: string | null
  readonly deliveries: number
  readonly bodyBytes: number
  /** The beginning of the body, at most `INDEXED_BYTES_MAX`. */
  readonly body: Uint8Array
  readonly claims: readonly ClaimStory[]
  /** Oldest first. */
  readonly steps: readonly Step[]
  readonly operations: readonly OperationStory[]
}

const CANDIDATES_MAX = 5
/** Behind every character that an id may continue with. */
const LAST = '\u{10ffff}'

/** The ids that a text may mean: itself, else those that begin with it. */
export function findIds(database: DatabaseSync, text: string): string[] {
  const exact = database.prepare('SELECT id FROM events WHERE id = ?').get(text)
  if (exact !== undefined) return [text]
  const rows = database
    .prepare(`SELECT id FROM events WHERE id >= ? AND id < ? ORDER BY id LIMIT ${CANDIDATES_MAX}`)
    .all(text, text + LAST) as { id: string }[]
  return rows.map(({ id }) => id)
}

/** The story of an event; undefined where the index has none of this id. */
export function eventStory(database: DatabaseSync, id: string): EventStory | undefined {
  const row = database.prepare('SELECT * FROM events JOIN bodies USING (seq) WHERE id = ?').get(id)
  if (row === undefined) return undefined
  const { partition, offset } = row
  const steps = stepsOf(database, id)
  const claims = claimsOf(database, id)
  const generations = new Set([...steps, ...claims].map(({ generation }) => generation))
  return {
    ...(JSON.parse(row.envelope as string) as Envelope),
    id,
    source: row.source as string,
    type: row.type as string,
    outcome: outcomeOf(row.outcome as number),
    acceptedAt: sequenceMs(row.seq as number),
    record: offset === null ? null : `sallyport.events/${partition}/${offset}`,
    deliveries: row.deliveries as number,
    bodyBytes: row.body_bytes as number,
    body: row.body as Uint8Array,
    claims,
    steps,
    operations: operationsOf(database, generations),
  }
}

function claimsOf(database: DatabaseSync, id: string): ClaimStory[] {
  const rows = database
    .prepare('SELECT processor, outcome, attempt, generation, at FROM claims WHERE id = ? ORDER BY processor')
    .all(id) as unknown as (Omit<ClaimStory, 'outcome'> & { outcome: number })[]
  return rows.map(row => ({ ...row, outcome: outcomeOf(row.outcome) }))
}

function stepsOf(database: DatabaseSync, id: string): Step[] {
  const rows = database
    .prepare(
      "SELECT at, processor, kind, topic || '/' || partition || '/' || offset AS record, detail FROM steps WHERE id = ? ORDER BY at, topic, offset",
    )
    .all(id) as unknown as { at: number; processor: string; kind: string; record: string; detail: string }[]
  return rows.map(({ detail, ...row }) => ({ ...row, ...JSON.parse(detail) }) as Step)
}

function operationsOf(database: DatabaseSync, generations: ReadonlySet<number>): OperationStory[] {
  const select = database.prepare('SELECT generation, at, record FROM operations WHERE generation = ?')
  return [...generations]
    .filter(generation => generation > 0)
    .sort((a, b) => a - b)
    .flatMap(generation => {
      const row = select.get(generation) as { generation: number; at: number; record: string } | undefined
      return row === undefined ? [] : [{ ...row, record: JSON.parse(row.record) }]
    })
}
