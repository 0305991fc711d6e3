/**
 * Questions that go over many events.
 *
 * Events are listed newest first, in the order of `seq` (I3); an index on source, type and outcome each keeps that
 * order, and so does FTS5. Where text meets another filter the rarer of the two leads.
 */
import type { DatabaseSync } from 'node:sqlite'
import { type EventOutcome, outcomeCode, outcomeOf } from './outcome.ts'
import { sequenceMs, sequenceStart } from './sequence.ts'
import type { Envelope } from './writer.ts'

export interface EventFilter {
  readonly source?: string
  readonly type?: string
  readonly outcome?: EventOutcome
  /** Taken by Kafka at or after this, ms since the epoch. */
  readonly sinceMs?: number
  /** Taken by Kafka before this, ms since the epoch. */
  readonly untilMs?: number
  /** Words of the body, in this order; with a * behind the last it may be the beginning of one. */
  readonly text?: string
  /** Behind the page that ended with this `seq`. */
  readonly before?: number
}

export interface ListedEvent {
  readonly seq: number
  readonly id: string
  readonly source: string
  readonly type: string
  readonly outcome: EventOutcome
  /** When Kafka took it, ms since the epoch. */
  readonly acceptedAt: number
  readonly deliveries: number
  readonly bodyBytes: number
  readonly traceId: string | null
}

export interface EventPage {
  readonly events: readonly ListedEvent[]
  /** `before` of the next page; undefined on the last one. */
  readonly next: number | undefined
}

/** With at most so many events, the other filters lead and the text is looked up for each. */
const FEW = 2_000

interface Row {
  seq: number
  id: string
  source: string
  type: string
  outcome: number
  deliveries: number
  body_bytes: number
  envelope: string
}

type Value = string | number

/** At most `limit` events, newest first. */
export function searchEvents(database: DatabaseSync, filter: EventFilter, limit: number): EventPage {
  const match = filter.text === undefined ? undefined : phrase(filter.text)
  const rows = match === '' ? [] : selectRows(database, filter, match, limit + 1)
  const events = rows.slice(0, limit).map(listed)
  return { events, next: rows.length > limit ? events.at(-1)?.seq : undefined }
}

function selectRows(
  database: DatabaseSync,
  filter: EventFilter,
  match: string | undefined,
  limit: number,
): Row[] {
  const range = conditions(filter, ['sinceMs', 'untilMs', 'before'], 'e.')
  const exact = conditions(filter, ['source', 'type', 'outcome'], 'e.')
  const columns = 'e.seq, e.id, e.source, e.type, e.outcome, e.deliveries, e.body_bytes, e.envelope'
  const run = (from: string, values: Value[]): Row[] =>
    database.prepare(`SELECT ${columns} FROM ${from} LIMIT ${limit}`).all(...values) as unknown as Row[]
  const own = [...range.values, ...exact.values]
  if (match === undefined) {
    return run(`events e WHERE ${all(range, exact)} ORDER BY e.seq DESC`, own)
  }
  if (exact.sql.length > 0 && !isBeginning(filter.text ?? '') && areFew(database, all(range, exact), own)) {
    return run(
      `(SELECT seq FROM events e WHERE ${all(range, exact)}) few CROSS JOIN texts t CROSS JOIN events e
       WHERE t.texts MATCH ? AND t.rowid = few.seq AND e.seq = few.seq ORDER BY e.seq DESC`,
      [...own, match],
    )
  }
  const inTexts = conditions(filter, ['sinceMs', 'untilMs', 'before'], 't.')
  return run(
    `texts t CROSS JOIN events e ON e.seq = t.rowid
     WHERE t.texts MATCH ? AND ${all(inTexts, exact)} ORDER BY t.rowid DESC`,
    [match, ...own],
  )
}

function areFew(database: DatabaseSync, where: string, values: Value[]): boolean {
  const { found } = database
    .prepare(`SELECT count(*) AS found FROM (SELECT 1 FROM events e WHERE ${where} LIMIT ${FEW + 1})`)
    .get(...values) as { found: number }
  return found <= FEW
}

interface Conditions {
  readonly sql: readonly string[]
  readonly values: readonly Value[]
}

function conditions(
  filter: EventFilter,
  names: readonly (keyof EventFilter)[],
  table: 'e.' | 't.',
): Conditions {
  const seq = table === 'e.' ? 'e.seq' : 't.rowid'
  const known: Partial<Record<keyof EventFilter, [string, Value | undefined]>> = {
    source: ['e.source = ?', filter.source],
    type: ['e.type = ?', filter.type],
    outcome: ['e.outcome = ?', filter.outcome === undefined ? undefined : outcomeCode(filter.outcome)],
    sinceMs: [`${seq} >= ?`, filter.sinceMs === undefined ? undefined : sequenceStart(filter.sinceMs)],
    untilMs: [`${seq} < ?`, filter.untilMs === undefined ? undefined : sequenceStart(filter.untilMs)],
    before: [`${seq} < ?`, filter.before],
  }
  const set = names.flatMap(name => {
    const [sql, value] = known[name] ?? []
    return sql === undefined || value === undefined ? [] : [{ sql, value }]
  })
  return { sql: set.map(({ sql }) => sql), values: set.map(({ value }) => value) }
}

function all(...parts: Conditions[]): string {
  return parts.flatMap(({ sql }) => sql).join(' AND ') || 'TRUE'
}

/** FTS5's phrase of somebody's words; empty where there is no word in them. */
function phrase(text: string): string {
  const words = text.replaceAll(/[^\p{L}\p{N}\p{M}\p{Co}]+/gu, ' ').trim()
  if (words === '') return ''
  return isBeginning(text) ? `"${words}" *` : `"${words}"`
}

/** Whether the last word is the beginning of one: `anmeld*`. FTS5 then gathers every word that begins so. */
function isBeginning(text: string): boolean {
  return /[\p{L}\p{N}]\*$/u.test(text.trim())
}

function listed(row: Row): ListedEvent {
  return {
    seq: row.seq,
    id: row.id,
    source: row.source,
    type: row.type,
    outcome: outcomeOf(row.outcome),
    acceptedAt: sequenceMs(row.seq),
    deliveries: row.deliveries,
    bodyBytes: row.body_bytes,
    traceId: (JSON.parse(row.envelope) as Envelope).traceId,
  }
}
