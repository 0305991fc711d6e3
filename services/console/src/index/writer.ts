/**
 * Records → rows: the only writer of the index.
 *
 * prepare (ask the registry for schemas) → write (one transaction: rows, then positions)
 *
 * Y1. A record below the stored position is skipped: two writers of one file write each record once.
 * Y2. A batch that begins behind the stored position is refused: somebody emptied the file, and whoever reads starts
 *     again from what is stored.
 * Y3. Records of one event come from several topics in any order: each row is what all of them say together.
 * Y4. What cannot be read is passed over; the processors put it into the dead letter. A registry that is away, or
 *     denies what it had, makes nothing unreadable: `prepare` throws, and nothing of the batch is written.
 * Y5. A letter that no attempt led to says nothing of the event that its key names: it was unreadable, and the key may
 *     be a forger's, or it was misplaced, and the event may have come home since. Only the latter is told of the event.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { type AttemptRecord, parseHistory } from '@sallyport/core/attempt'
import { AUDIT_SCHEMA } from '@sallyport/core/audit'
import { EVENT_SCHEMA } from '@sallyport/core/codec'
import type { Event } from '@sallyport/core/event'
import { HEADER } from '@sallyport/core/headers'
import { type FetchedRecord, headerText } from '@sallyport/core/kafka/group-consumer'
import type { ReadBatch } from '@sallyport/core/kafka/topic-reader'
import { RegistryReader, type Schemas } from '@sallyport/core/registry-reader'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import { traceIdOf } from '@sallyport/core/trace'
import { POSITIONS_KEY } from '@sallyport/processor/claims-record'
import { CLAIM_SCHEMA, POSITIONS_SCHEMA } from '@sallyport/processor/config'
import { eventText, INDEXED_BYTES_MAX } from './body-text.ts'
import { inTransaction } from './database.ts'
import { type EventOutcome, outcomeCode } from './outcome.ts'
import { sequence, sequenceMs, sequenceStart } from './sequence.ts'
import { type TopicRole, topicRole } from './topics.ts'

/** The file was emptied, or another writer is elsewhere: read again from the stored positions (Y2). */
export class PositionsChanged extends Error {}

interface ClaimValue {
  readonly state: 'PENDING' | 'DONE' | 'DEAD'
  readonly attempt: number
  readonly generation: number
}

const OUTCOME_OF_CLAIM: Readonly<Record<ClaimValue['state'], EventOutcome>> = {
  PENDING: 'retrying',
  DONE: 'processed',
  DEAD: 'dead',
}

/** The part of an event that is kept as JSON. */
export type Envelope = Omit<Event, 'id' | 'source' | 'type' | 'body'> & { readonly traceId: string | null }

export class IndexWriter {
  readonly #database: DatabaseSync
  readonly #events: RegistryReader<Event>
  readonly #claims: RegistryReader<ClaimValue>
  readonly #positions: RegistryReader<{ inputs: Record<string, number> }>
  readonly #operations: RegistryReader<object>
  readonly #statements = new Map<string, StatementSync>()

  constructor(database: DatabaseSync, registry: Schemas) {
    this.#database = database
    this.#events = new RegistryReader(EVENT_SCHEMA, registry)
    this.#claims = new RegistryReader(CLAIM_SCHEMA, registry)
    this.#positions = new RegistryReader(POSITIONS_SCHEMA, registry)
    this.#operations = new RegistryReader(AUDIT_SCHEMA, registry)
  }

  /** Makes a batch readable. Throws `SP_REGISTRY_UNREACHABLE`. */
  async prepare({ topic, records }: ReadBatch): Promise<void> {
    const role = topicRole(topic)
    const values = (wanted: (key: string) => boolean): (Buffer | null)[] =>
      records.filter(({ key }) => wanted(String(key))).map(({ value }) => value)
    if (role?.kind === 'audit') await this.#operations.prepareAll(values(() => true))
    else if (role?.kind !== 'claims') await this.#events.prepareAll(values(() => true))
    else {
      await this.#positions.prepareAll(values(key => key === POSITIONS_KEY))
      await this.#claims.prepareAll(values(key => !isMark(key)))
    }
  }

  /** Writes batches and the positions behind them in one transaction. Throws `PositionsChanged`. */
  write(batches: readonly ReadBatch[]): void {
    inTransaction(this.#database, () => {
      const touched = new Set<number>()
      for (const batch of batches) {
        const stored = this.#storedPosition(batch)
        if (batch.from > stored) throw new PositionsChanged()
        const role = topicRole(batch.topic)
        const fresh = batch.records.filter(({ offset }) => offset >= stored)
        if (role !== undefined) for (const record of fresh) this.#writeRecord(role, record)
        if (role?.kind === 'events' || role?.kind === 'claims') touched.add(batch.partition)
        if (batch.next > stored) {
          this.#run(
            'INSERT OR REPLACE INTO positions VALUES (?, ?, ?)',
            batch.topic,
            batch.partition,
            batch.next,
          )
        }
      }
      for (const partition of touched) this.#markPassed(partition)
    })
  }

  #storedPosition({ topic, partition }: ReadBatch): number {
    const row = this.#get(
      'SELECT position FROM positions WHERE topic = ? AND partition = ?',
      topic,
      partition,
    )
    if (row === undefined) throw new PositionsChanged()
    return row.position as number
  }

  #writeRecord(role: TopicRole, record: FetchedRecord): void {
    if (role.kind === 'audit') {
      this.#writeOperation(record)
      return
    }
    const { key, value } = record
    if (key === null) return
    const id = key.toString()
    if (value === null) {
      if (role.kind === 'claims' && !isMark(id)) this.#forgetClaim(role.processor, id, record.timestamp)
      return
    }
    switch (role.kind) {
      case 'events':
        this.#writeEvent(record, record.offset)
        break
      case 'claims':
        this.#writeClaim(role.processor, id, record)
        break
      case 'dead-letter':
        this.#writeDeadLetter(role.processor, id, record)
        break
      case 'retry':
        this.#writeRetry(role.processor, role.tier, id, record)
        break
      case 'redrive':
        if (!isUnattempted(record) || this.#isEvent(record)) {
          this.#writeStep(role.processor, 'redrive', id, record, { generation: generationOf(record) })
        }
        break
    }
  }

  /** `offset`: of the record in sallyport.events; null where a dead letter tells of the event. */
  #writeEvent(record: FetchedRecord, offset: number | null): void {
    const event = this.#events.readOrUndefined(record.value as Buffer)
    if (event === undefined || event.id !== String(record.key)) return
    const known = this.#get('SELECT seq, offset, letter_at FROM events WHERE id = ?', event.id)
    if (known !== undefined && (offset === null || known.offset !== null)) {
      if (offset !== null) this.#run('UPDATE events SET deliveries = deliveries + 1 WHERE id = ?', event.id)
      return
    }
    // Its dead letter came first, and did not know when Kafka took it.
    if (known !== undefined) this.#removeEvent(known.seq as number)
    const { id, source, type, body, ...rest } = event
    const envelope: Envelope = {
      ...rest,
      traceId: traceIdOf(headerText(record.headers, HEADER.traceparent)) ?? null,
    }
    const at = offset === null ? event.receivedAt : record.timestamp
    const seq = this.#insertEvent(sequence(at, record.partition, record.offset), [
      id,
      source,
      type,
      this.#worstClaim(id),
      record.partition,
      offset,
      offset === null ? 0 : 1,
      body.length,
      (known?.letter_at as number | null | undefined) ?? null,
      JSON.stringify(envelope),
    ])
    const kept = body.subarray(0, INDEXED_BYTES_MAX)
    this.#run('INSERT INTO bodies VALUES (?, ?)', seq, kept)
    const text = eventText(kept, event)
    if (text !== undefined) this.#run('INSERT INTO texts (rowid, body) VALUES (?, ?)', seq, text)
  }

  #removeEvent(seq: number): void {
    for (const place of ['texts WHERE rowid', 'bodies WHERE seq', 'events WHERE seq']) {
      this.#run(`DELETE FROM ${place} = ?`, seq)
    }
  }

  /** Takes the place behind the last one of the millisecond where its own is taken; returns it. */
  #insertEvent(first: number, values: readonly (string | number | null)[]): number {
    let seq = first
    for (;;) {
      const { changes } = this.#run(
        'INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (seq) DO NOTHING',
        seq,
        ...values,
      )
      if (changes === 1) return seq
      const end = sequenceStart(sequenceMs(seq) + 1)
      const last = this.#get('SELECT max(seq) AS seq FROM events WHERE seq >= ? AND seq < ?', seq, end)
      seq = ((last?.seq as number | null | undefined) ?? seq) + 1
    }
  }

  #writeClaim(processor: string, id: string, record: FetchedRecord): void {
    const value = record.value as Buffer
    if (id === POSITIONS_KEY) {
      const position = this.#positions.readOrUndefined(value)?.inputs[EVENTS_TOPIC]
      if (position === undefined) return
      this.#run('INSERT OR REPLACE INTO settled VALUES (?, ?, ?)', processor, record.partition, position)
    } else if (!isMark(id)) {
      const claim = this.#claims.readOrUndefined(value)
      if (claim !== undefined) this.#setClaim(processor, id, { ...claim, at: record.timestamp })
    }
  }

  /** The latest word counts; the same again, as refreshed claims are, changes nothing. */
  #setClaim(processor: string, id: string, claim: ClaimValue & { readonly at: number }): void {
    const { changes } = this.#run(
      `INSERT INTO claims VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id, processor) DO UPDATE
       SET outcome = excluded.outcome, attempt = excluded.attempt, generation = excluded.generation, at = excluded.at
       WHERE excluded.at >= at AND (excluded.outcome, excluded.attempt, excluded.generation)
         IS NOT (outcome, attempt, generation)`,
      id,
      processor,
      outcomeCode(OUTCOME_OF_CLAIM[claim.state]),
      claim.attempt,
      claim.generation,
      claim.at,
    )
    if (changes === 0) return
    this.#run('UPDATE events SET outcome = ? WHERE id = ?', this.#worstClaim(id), id)
  }

  /** A processor has let the claim go. */
  #forgetClaim(processor: string, id: string, at: number): void {
    this.#run('DELETE FROM claims WHERE id = ? AND processor = ? AND at <= ?', id, processor, at)
    this.#run('UPDATE events SET outcome = ? WHERE id = ?', this.#worstClaim(id), id)
  }

  #worstClaim(id: string): number {
    const row = this.#get('SELECT max(outcome) AS worst FROM claims WHERE id = ?', id)
    return (row?.worst as number | null | undefined) ?? outcomeCode('waiting')
  }

  #writeRetry(processor: string, tier: number, id: string, record: FetchedRecord): void {
    const failed = historyOf(record).at(-1) ?? null
    this.#writeStep(processor, 'retry', id, record, { tier, failed, generation: generationOf(record) })
  }

  #writeDeadLetter(processor: string, id: string, record: FetchedRecord): void {
    const text = (name: string): string => headerText(record.headers, name) ?? ''
    const isOfEvent = !isUnattempted(record)
    if (!isOfEvent && !this.#isEvent(record)) return
    const generation = generationOf(record)
    const attempt = Number(text(HEADER.attempt)) || 0
    const detail = {
      generation,
      attempt,
      reason: text(HEADER.reason),
      code: text(HEADER.code),
      message: text(HEADER.message),
      by: text(HEADER.processor),
      attempts: historyOf(record),
    }
    this.#writeStep(processor, 'dead letter', id, record, detail)
    if (isOfEvent) {
      // Its claim expires long before it, and its event may have.
      this.#setClaim(processor, id, { state: 'DEAD', attempt, generation, at: record.timestamp })
      this.#writeEvent(record, null)
    }
    const at = record.timestamp
    this.#run('UPDATE events SET letter_at = max(ifnull(letter_at, 0), ?) WHERE id = ?', at, id)
  }

  /** Whether the record is the event that its key names. */
  #isEvent({ key, value }: FetchedRecord): boolean {
    return value !== null && this.#events.readOrUndefined(value)?.id === String(key)
  }

  #writeStep(
    processor: string,
    kind: 'retry' | 'dead letter' | 'redrive',
    id: string,
    { topic, partition, offset, timestamp }: FetchedRecord,
    detail: object,
  ): void {
    this.#run(
      'INSERT OR IGNORE INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      id,
      topic,
      partition,
      offset,
      timestamp,
      processor,
      kind,
      JSON.stringify(detail),
    )
  }

  #writeOperation({ key, offset, timestamp, value }: FetchedRecord): void {
    // A checkpoint repeats what other records say.
    if (value === null || isMark(String(key))) return
    const operation = this.#operations.readOrUndefined(value)
    if (operation === undefined) return
    const record = JSON.stringify(operation)
    this.#run('INSERT OR IGNORE INTO operations VALUES (?, ?, ?)', offset, timestamp, record)
  }

  /** Events that every processor has passed without a word. */
  #markPassed(partition: number): void {
    this.#run(
      `UPDATE events INDEXED BY events_waiting SET outcome = ${outcomeCode('passed')}
       WHERE outcome = 0 AND partition = ? AND offset < (SELECT min(position) FROM settled WHERE partition = ?)`,
      partition,
      partition,
    )
  }

  #get(sql: string, ...values: (string | number)[]): Record<string, unknown> | undefined {
    return this.#statement(sql).get(...values) as Record<string, unknown> | undefined
  }

  #run(sql: string, ...values: (string | number | null | Uint8Array)[]): { changes: number } {
    return this.#statement(sql).run(...values) as { changes: number }
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#database.prepare(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }
}

/** Keys of the claims topic that are no event ids, and of the audit that are no processors. */
function isMark(key: string): boolean {
  return key.startsWith('#')
}

/** Whether a dead letter, or one that was sent round again, came to be without an attempt (Y5). */
function isUnattempted(record: FetchedRecord): boolean {
  return headerText(record.headers, HEADER.reason) === 'poison'
}

function generationOf(record: FetchedRecord): number {
  return Number(headerText(record.headers, HEADER.generation)) || 0
}

function historyOf(record: FetchedRecord): readonly AttemptRecord[] {
  return parseHistory(headerText(record.headers, HEADER.history))
}
