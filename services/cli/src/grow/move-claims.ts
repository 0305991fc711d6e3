/**
 * Copies the claims of one processor to where their keys are at home among more partitions.
 *
 * take every partition over → read those that were there before → write what has another home now
 *
 * U6. Every partition is taken over with its task's transactional id before anything is read. Whoever had it can write
 *     nothing more, a runner of the same command included, and all that was committed lies before the barrier.
 * U7. A claim is copied only from where its key was at home: what an earlier growth left elsewhere is older.
 * U8. A copy holds for as long as the claim would have: its window is shorter by the claim's age.
 * U9. A new partition has positions that say 0 before the events topic has that partition: where none are, a processor
 *     that starts at `latest` would pass over what comes first.
 */
import { randomUUID } from 'node:crypto'
import { BrokerClock } from '@sallyport/core/clock'
import { SallyportError } from '@sallyport/core/errors'
import type { FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import type { ProduceRecord } from '@sallyport/core/kafka/produce-record'
import { TaskProducer } from '@sallyport/core/kafka/task-producer'
import { partitionOf } from '@sallyport/core/partition'
import { RegistryReader } from '@sallyport/core/registry-reader'
import type { Claim } from '@sallyport/processor/claim'
import { barrierRecord, claimRecord, isClaimKey, positionsRecord } from '@sallyport/processor/claims-record'
import { BARRIER_SCHEMA, CLAIM_SCHEMA, POSITIONS_SCHEMA } from '@sallyport/processor/config'
import type { Desk } from '../operations/desk.ts'
import type { GrowingProcessor, Growth } from './growth.ts'

/** What a claim's record holds; when it was written, the record says. */
type ClaimValue = Omit<Claim, 'at'>

/** As long as the tasks' own by default. */
const TRANSACTION_TIMEOUT_MS = 10_000

/** Returns how many records were copied. Throws `SP_FENCED` when somebody else does the same, or `SP_TRANSACTION`. */
export async function moveClaims(
  desk: Desk,
  processor: GrowingProcessor,
  { from, to }: Pick<Growth, 'from' | 'to'>,
  signal: AbortSignal,
): Promise<number> {
  const move = new Move(desk, processor, to)
  try {
    const ends = await move.takeOver(from)
    let copied = 0
    for (const [partition, until] of ends.entries()) {
      const { low } = (await desk.reader.bounds(processor.claims)).get(partition) ?? { low: 0 }
      const range = { topic: processor.claims, partition, from: low, until }
      for await (const { records } of desk.reader.read(range)) {
        signal.throwIfAborted()
        copied += await move.copy(records.filter(({ key }) => isAtHome(key, from, partition)))
      }
    }
    return copied
  } finally {
    await move.end()
  }
}

/** Whether a record is the claim of a key that belongs to this partition of so many (U7). */
function isAtHome(key: Buffer | null, count: number, partition: number): boolean {
  return key !== null && isClaimKey(key) && partitionOf(key, count) === partition
}

/** The claim as a copy holds it, written at `now`; null where it has expired and must not hold (U8). */
export function agedClaim(claim: ClaimValue, writtenAt: number, now: number): ClaimValue | null {
  if (claim.state === 'PENDING') return claim
  // At most its own window: the leader that wrote it may have been ahead.
  const windowMs = Math.min(claim.windowMs, Math.round(writtenAt + claim.windowMs - now))
  return windowMs > 0 ? { ...claim, windowMs } : null
}

class Move {
  readonly #desk: Desk
  readonly #processor: GrowingProcessor
  readonly #to: number
  readonly #claims: RegistryReader<ClaimValue>
  readonly #clock = new BrokerClock(Date.now)
  readonly #producers: TaskProducer[] = []
  #claimSchemaId = 0

  constructor(desk: Desk, processor: GrowingProcessor, to: number) {
    this.#desk = desk
    this.#processor = processor
    this.#to = to
    this.#claims = new RegistryReader(CLAIM_SCHEMA, desk.registry)
  }

  /** Becomes the owner of every partition (U6, U9). Returns where each of the first `from` ends. */
  async takeOver(from: number): Promise<number[]> {
    const { registry, producers } = this.#desk
    this.#claimSchemaId = await registry.register(CLAIM_SCHEMA.name, CLAIM_SCHEMA)
    const barrier = await this.#barrier()
    const positions = await this.#positions()
    const ends: number[] = []
    for (let partition = 0; partition < this.#to; partition++) {
      const groupId = `sallyport.${this.#processor.name}`
      this.#producers.push(
        await TaskProducer.open(producers, groupId, partition, {
          transactionTimeoutMs: TRANSACTION_TIMEOUT_MS,
          clock: this.#clock,
        }),
      )
      const end = await this.#write(partition, [partition < from ? barrier : positions])
      if (partition < from) ends.push(end)
    }
    return ends
  }

  /** Copies those of the claims that have another home among the new partitions; returns how many. */
  async copy(claims: readonly FetchedRecord[]): Promise<number> {
    const moving = new Map<number, ProduceRecord[]>()
    let copied = 0
    for (const claim of claims) {
      const home = partitionOf(claim.key as Buffer, this.#to)
      if (home === claim.partition) continue
      const records = moving.get(home) ?? []
      records.push(await this.#copyOf(claim))
      moving.set(home, records)
      copied++
    }
    for (const [home, records] of moving) await this.#write(home, records)
    return copied
  }

  async end(): Promise<void> {
    await Promise.all(this.#producers.map(producer => producer.close()))
  }

  async #copyOf({ key, value, timestamp }: FetchedRecord): Promise<ProduceRecord> {
    const claim = value === null ? null : await this.#claims.decode(value)
    const aged = claim === null ? null : agedClaim(claim, timestamp, this.#clock.now())
    return aged === null ? { key, value: null } : claimRecord(this.#claimSchemaId, key as Buffer, aged)
  }

  /** Returns one past the last record. */
  async #write(partition: number, records: readonly ProduceRecord[]): Promise<number> {
    const topic = this.#processor.claims
    const producer = this.#producers[partition] as TaskProducer
    const end = await producer.transact({ topic, partition, records }, [], [])
    if (end !== undefined) return end
    throw new SallyportError('SP_TRANSACTION', `${topic}/${partition} has no end: run the command again`)
  }

  async #barrier(): Promise<ProduceRecord> {
    const schemaId = await this.#desk.registry.register(BARRIER_SCHEMA.name, BARRIER_SCHEMA)
    return barrierRecord(schemaId, randomUUID(), '')
  }

  async #positions(): Promise<ProduceRecord> {
    const schemaId = await this.#desk.registry.register(POSITIONS_SCHEMA.name, POSITIONS_SCHEMA)
    return positionsRecord(
      schemaId,
      this.#processor.inputs.map(topic => ({ topic, offset: 0 })),
    )
  }
}
