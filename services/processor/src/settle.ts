/**
 * Stage 9: one transaction makes an outcome true: claims, next hops, dead letters and outputs, and the position
 * behind them. Outcomes that come while a transaction is under way go into the next one.
 *
 * X1. An outcome's claim, its records and the position that passes its record are in the same transaction.
 * X2. Positions are written to the claims topic, and only that is trusted; the group's offsets mirror it, and may be
 *     behind.
 * X3. A value is forwarded as the bytes that were read; headers of ours are set, never appended.
 * X4. After any error nothing more is settled: the task ends, and a new one reads what came of it.
 */
import { type AttemptRecord, extendHistory } from '@sallyport/core/attempt'
import { HEADER, isoTime } from '@sallyport/core/headers'
import { type FetchedRecord, headerText } from '@sallyport/core/kafka/group-consumer'
import type { PartitionWrites, ProduceRecord } from '@sallyport/core/kafka/produce-record'
import type { TaskProducer } from '@sallyport/core/kafka/task-producer'
import { type BatchPlace, nameOf } from '@sallyport/core/kafka/transactions/requests'
import { isSpanContextValid, type Span, traceparentOf } from '@sallyport/core/trace'
import type { Claim } from './claim.ts'
import { claimRecord, farewellRecord, type InputStanding, positionsRecord } from './claims-record.ts'
import type { ProcessorConfig } from './config.ts'
import type { Outcome } from './decide.ts'
import type { EventRecord } from './decode.ts'

/** A record with its outcome. */
export interface Settlement {
  readonly record: FetchedRecord
  /** null: the record could not be read. */
  readonly eventRecord: EventRecord | null
  readonly outcome: Outcome
  /** The attempt that led to it, where one was made. */
  readonly attempt: AttemptRecord | null
  /** What the event id's claim becomes; null leaves it. */
  readonly claim: Claim | null
  /** The record was set aside while it was attempted: its position has passed. */
  readonly isAside?: boolean
  /** The span of the record's processing, whose trace the next hop continues; null keeps the record's own. */
  readonly span: Span | null
}

/** Schema ids in the registry. */
export interface SettleSchemas {
  readonly claim: number
  readonly positions: number
  readonly barrier: number
}

export class Settler {
  readonly #processor: ProcessorConfig
  readonly #partition: number
  readonly #producer: TaskProducer
  readonly #schemas: SettleSchemas
  readonly #foreign: () => readonly InputStanding[]

  /**
   * `foreign`: positions in topics that are no inputs here, which an owner with other settings left. They are kept for
   * the owner that reads them again.
   */
  constructor(
    processor: ProcessorConfig,
    partition: number,
    producer: TaskProducer,
    schemas: SettleSchemas,
    foreign: () => readonly InputStanding[] = () => [],
  ) {
    this.#processor = processor
    this.#partition = partition
    this.#producer = producer
    this.#schemas = schemas
    this.#foreign = foreign
  }

  /**
   * Makes the settlements true in one transaction. Returns one past the offset of the last claims record, where the
   * broker said it. `refreshed` are claims to write again unchanged, `gone` ids whose claims end; `mirrors` says whether
   * the group's offsets are written as well; `leaves`, that its owner has drained. Throws `SP_FENCED` or
   * `SP_TRANSACTION`; then the outcome is unknown (X4).
   */
  async settle(
    settlements: readonly Settlement[],
    refreshed: readonly (readonly [eventId: string, claim: Claim])[],
    gone: readonly string[],
    positions: readonly InputStanding[],
    mirrors: boolean,
    leaves: boolean,
  ): Promise<number | undefined> {
    const claims: ProduceRecord[] = refreshed.map(([eventId, claim]) => this.#claimRecord(eventId, claim))
    for (const eventId of gone) claims.push({ key: Buffer.from(eventId), value: null })
    const others = new Writes()
    for (const settlement of settlements) {
      const { eventRecord, claim } = settlement
      if (eventRecord !== null && claim !== null) claims.push(this.#claimRecord(eventRecord.event.id, claim))
      this.#addRecords(others, settlement)
    }
    claims.push(positionsRecord(this.#schemas.positions, [...this.#foreign(), ...positions]))
    if (leaves) claims.push(farewellRecord(this.#schemas.barrier))
    return await this.#producer.transact(
      { topic: this.#processor.topics.claims, partition: this.#partition, records: claims },
      others.list(),
      mirrors ? positions : [],
    )
  }

  #addRecords(writes: Writes, settlement: Settlement): void {
    const { outcome, record } = settlement
    switch (outcome.kind) {
      case 'processed':
        for (const [i, { topic, partition, key, value, type }] of outcome.outputs.entries()) {
          writes.add(topic, partition, { key, value, headers: this.#outputHeaders(settlement, type, i) })
        }
        return
      case 'retry':
        writes.add(
          this.#processor.topics.retry[outcome.tier] as string,
          this.#partition,
          hop(record, retryHeaders(settlement, 1, this.#processor.delaysMs[outcome.tier] as number)),
        )
        return
      case 'aside':
        writes.add(
          this.#processor.topics.retry[0] as string,
          this.#partition,
          hop(record, retryHeaders(settlement, 0, this.#processor.delaysMs[0] as number)),
        )
        return
      case 'dead':
        writes.add(
          this.#processor.topics.deadLetter,
          this.#partition,
          hop(record, this.#deadHeaders(settlement)),
        )
        return
      case 'duplicate':
      case 'ignored':
        return
    }
  }

  #claimRecord(eventId: string, claim: Claim): ProduceRecord {
    return claimRecord(this.#schemas.claim, Buffer.from(eventId), claim)
  }

  /** An output's CloudEvents id follows from the event's: a consumer can tell a repetition beyond the window. */
  #outputHeaders({ eventRecord, span }: Settlement, type: string, index: number): Record<string, string> {
    const id = eventRecord?.event.id ?? ''
    return {
      [HEADER.specVersion]: '1.0',
      [HEADER.id]: index === 0 ? id : `${id}#${index}`,
      [HEADER.source]: this.#processor.groupId,
      [HEADER.type]: type,
      [HEADER.time]: isoTime(Date.now()),
      ...traceHeader(span),
    }
  }

  #deadHeaders(settlement: Settlement): Record<string, string> {
    const { outcome } = settlement
    if (outcome.kind !== 'dead') return {}
    return {
      ...hopHeaders(settlement),
      [HEADER.attempt]: String(settlement.eventRecord?.round.attempt ?? 0),
      [HEADER.reason]: outcome.reason,
      [HEADER.code]: outcome.failure.code,
      [HEADER.message]: outcome.failure.message,
      [HEADER.processor]: `${this.#processor.name}@${this.#processor.version}`,
    }
  }
}

/** Where the transactions of a partition's owner may write; `partitions`: how many every topic has. */
export function placesWritten(
  { topics, outputs }: ProcessorConfig,
  partition: number,
  partitions: number,
): BatchPlace[] {
  const own = [topics.claims, ...topics.retry, topics.deadLetter].map(topic => ({ topic, partition }))
  const all = Array.from({ length: partitions }, (_, any) => any)
  return [...own, ...[...outputs.keys()].flatMap(topic => all.map(any => ({ topic, partition: any })))]
}

/** Records by topic and partition, in the order of their first record. */
class Writes {
  readonly #byPartition = new Map<string, { topic: string; partition: number; records: ProduceRecord[] }>()

  add(topic: string, partition: number, record: ProduceRecord): void {
    const place = nameOf({ topic, partition })
    let writes = this.#byPartition.get(place)
    if (writes === undefined) {
      writes = { topic, partition, records: [] }
      this.#byPartition.set(place, writes)
    }
    writes.records.push(record)
  }

  list(): PartitionWrites[] {
    return [...this.#byPartition.values()]
  }
}

/**
 * The record as it was read, with these headers set over its own. Names that were no UTF-8 are left out: written again
 * they would take three times their bytes.
 */
function hop(record: FetchedRecord, headers: Record<string, string>): ProduceRecord {
  const own = Object.entries(record.headers).filter(([name]) => !name.includes('\ufffd'))
  return { key: record.key, value: record.value, headers: { ...Object.fromEntries(own), ...headers } }
}

/** `more`: attempts that were made at the record. */
function retryHeaders(settlement: Settlement, more: number, delayMs: number): Record<string, string> {
  const attempt = (settlement.eventRecord?.round.attempt ?? 0) + more
  return {
    ...hopHeaders(settlement),
    [HEADER.attempt]: String(attempt),
    [HEADER.delay]: String(delayMs),
  }
}

function hopHeaders({ record, eventRecord, attempt, span }: Settlement): Record<string, string> {
  const before = eventRecord?.history ?? []
  const history = attempt === null ? before : extendHistory(before, attempt)
  const { topic, partition, offset } = record
  return {
    ...(headerText(record.headers, HEADER.origin) === undefined
      ? { [HEADER.origin]: `${topic}/${partition}/${offset}` }
      : {}),
    [HEADER.history]: JSON.stringify(history),
    ...failedAt(HEADER.firstFailedAt, history[0]),
    ...failedAt(HEADER.lastFailedAt, history.at(-1)),
    ...traceHeader(span),
  }
}

function failedAt(name: string, attempt: AttemptRecord | undefined): Record<string, string> {
  if (attempt === undefined) return {}
  const time = new Date(attempt.startedAt + attempt.durationMs)
  // A foreign producer may have written any number into the history.
  return Number.isNaN(time.getTime()) ? {} : { [name]: time.toISOString() }
}

/** The next hop's parent; none where the record belonged to no trace. */
function traceHeader(span: Span | null): Record<string, string> {
  return span !== null && isSpanContextValid(span.spanContext())
    ? { [HEADER.traceparent]: traceparentOf(span) }
    : {}
}
