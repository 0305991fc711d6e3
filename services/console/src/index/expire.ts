import type { DatabaseSync } from 'node:sqlite'
import { inTransaction } from './database.ts'
import { outcomeCode } from './outcome.ts'
import { sequenceStart } from './sequence.ts'

/** How long the topics keep what the index holds, ms. */
export interface Retention {
  readonly eventsMs: number
  /** The longest of the processors' dead letters. */
  readonly deadLettersMs: number
  readonly auditMs: number
}

/** Rows of one transaction: others may write in between. */
const CHUNK = 2_000

/**
 * Removes what the topics no longer keep either: events with all that belongs to them. One that has a dead letter stays
 * as long as that does, also when it was redriven and processed; one that is not settled stays as long as dead letters
 * would.
 */
export function expire(database: DatabaseSync, retention: Retention, nowMs: number): number {
  const events = sequenceStart(nowMs - retention.eventsMs)
  const unsettled = sequenceStart(nowMs - Math.max(retention.eventsMs, retention.deadLettersMs))
  const letterMs = nowMs - retention.deadLettersMs
  const select = database.prepare(
    `SELECT seq, id FROM events WHERE seq > ? AND seq < ? AND (seq < ? OR outcome < ${outcomeCode('retrying')})
     AND (letter_at IS NULL OR letter_at < ?)
     ORDER BY seq LIMIT ${CHUNK}`,
  )
  let removed = 0
  // Each chunk goes on behind the last one, past what stays.
  for (let last = -1; ; ) {
    const rows = select.all(last, events, unsettled, letterMs) as { seq: number; id: string }[]
    if (rows.length === 0) break
    inTransaction(database, () => removeEvents(database, rows))
    removed += rows.length
    last = rows.at(-1)?.seq as number
  }
  if (removed === 0) return 0
  // What was read without its event ever being there goes with the oldest.
  const orphanMs = nowMs - Math.max(retention.eventsMs, retention.deadLettersMs)
  inTransaction(database, () => {
    database.prepare('DELETE FROM operations WHERE at < ?').run(nowMs - retention.auditMs)
    database.prepare(`DELETE FROM claims WHERE at < ? AND id NOT IN (SELECT id FROM events)`).run(orphanMs)
    database.prepare(`DELETE FROM steps WHERE at < ? AND id NOT IN (SELECT id FROM events)`).run(orphanMs)
  })
  return removed
}

function removeEvents(database: DatabaseSync, rows: readonly { seq: number; id: string }[]): void {
  const bySeq = ['texts WHERE rowid', 'bodies WHERE seq', 'events WHERE seq'].map(place =>
    database.prepare(`DELETE FROM ${place} = ?`),
  )
  const byId = ['claims', 'steps'].map(table => database.prepare(`DELETE FROM ${table} WHERE id = ?`))
  for (const { seq, id } of rows) {
    for (const statement of bySeq) statement.run(seq)
    for (const statement of byId) statement.run(id)
  }
}
