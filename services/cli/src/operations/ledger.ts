/**
 * Where the dead letters of one partition stand, from three topics: the dead letters, the audit, the claims.
 *
 * | state      | when                                                                                         |
 * |------------|----------------------------------------------------------------------------------------------|
 * | dead       | no operation sent it round or discarded it, and its id has not taken effect since            |
 * | waiting    | an operation sent it, or will; its event is not processed yet                                |
 * | processed  | its event was processed: after an operation sent it, or because its sender repeated it       |
 * | discarded  | an operator hid it                                                                           |
 * | superseded | its event has a later dead letter, which speaks for it                                       |
 *
 * Z1. Whether an operation took a letter follows from the audit alone: from its selection, its ranges and its progress.
 *     Claims forget after the window, dead letters are kept for longer. What died after a redrive or a discard was
 *     asked for is none of its letters, whatever its offset: the topic was deleted and made again since.
 * Z2. A letter is processed only when the claim of its event says so for that generation or a later one; where the
 *     claim has expired, when the processor has settled everything that the operation sent. What expired in the lane, or
 *     left the claim as it was, was never processed: it is dead.
 *     Where a letter, or its event, lies elsewhere than the key is at home (it was misplaced, or the topics have grown
 *     since), the claim at home tells; without one it is processed when nothing waits in that partition of the lane.
 *     So a letter that was never sent is processed when its id is DONE, or, behind the window, when an operation has
 *     sent another letter of the id since. Of a record that could not be read only that it was sent tells: what its key
 *     names may be something else.
 * Z3. Memory grows with the number of events that have dead letters in one partition, not with their bytes.
 */
import type { Operation } from '@sallyport/core/audit'
import { partitionOf } from '@sallyport/core/partition'
import { RegistryReader } from '@sallyport/core/registry-reader'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import type { ClaimState } from '@sallyport/processor/claim'
import { isClaimKey, lostOf, POSITIONS_KEY } from '@sallyport/processor/claims-record'
import { CLAIM_SCHEMA, POSITIONS_SCHEMA } from '@sallyport/processor/config'
import { type DeadLetter, deadLetter, homeOf, isReadable } from './dead-letter.ts'
import { type Desk, topicsOf } from './desk.ts'
import { CLOCKS_DIFFER_MS } from './horizon.ts'
import { type Lane, LaneFate } from './lane-fate.ts'
import { matcher } from './selection.ts'
import { firstRecord } from './settled.ts'

export type LetterState = 'dead' | 'waiting' | 'processed' | 'discarded' | 'superseded'

export interface Standing {
  readonly state: LetterState
  /** The operation that took it. */
  readonly operation?: Operation
}

interface ClaimView {
  readonly state: ClaimState
  readonly generation: number
}

/** What an operation has to do with a letter. */
type Taking = 'not' | 'queued' | 'taken'

export class Ledger {
  readonly #operations: readonly { operation: Operation; takes: (letter: DeadLetter) => Taking }[]
  /** Identity → offset of its last letter. */
  readonly #last = new Map<string, number>()
  readonly #claims = new Map<string, ClaimView | undefined>()
  /** Event id → the last operation that sent a letter of it, where one did. */
  readonly #sent = new Map<string, Operation>()
  /** Event id → greatest generation in which it died, where that is not 0. */
  readonly #diedAgain = new Map<string, number>()
  /** The partitions of the redrive lane in which a processor ran. */
  readonly #lanes = new Map<number, Lane>()
  readonly #fate: LaneFate
  readonly #partitions: number

  private constructor(operations: readonly Operation[], partitions: number) {
    this.#operations = operations.map(operation => ({ operation, takes: takingOf(operation) }))
    this.#fate = new LaneFate(operations.filter(({ kind }) => kind !== 'DISCARD'))
    this.#partitions = partitions
  }

  /** Reads a partition as it is now. `operations` are those of the processor that count, oldest first. */
  static async read(
    desk: Desk,
    processor: string,
    partition: number,
    operations: readonly Operation[],
  ): Promise<Ledger> {
    const partitions = (await desk.reader.bounds(topicsOf(processor).claims)).size
    const ledger = new Ledger(operations, partitions)
    const homes = new Map<number, boolean>()
    for await (const letter of letters(desk, processor, partition)) {
      ledger.#last.set(letter.identity, letter.record.offset)
      ledger.#claims.set(letter.key, undefined)
      ledger.#note(letter)
      const home = homeOf(letter, partitions)
      homes.set(home, homes.get(home) === true || isSentFromElsewhere(letter, home))
    }
    for (const [home, hasOthers] of homes) {
      if (home !== partition) await ledger.#readOthers(desk, processor, home)
      await ledger.#readClaims(desk, processor, home)
      if (hasOthers) await ledger.#readLane(desk, processor, home)
      const lost = ledger.#lanes.get(home)?.lost
      if (lost !== undefined)
        await ledger.#fate.prepare(home, lost, operation => desk.audit.batches(operation))
    }
    return ledger
  }

  standing(letter: DeadLetter): Standing {
    if ((this.#last.get(letter.identity) ?? -1) > letter.record.offset) return { state: 'superseded' }
    const claim = this.#claimOf(letter)
    const taken = this.#takenBy(letter)
    if (taken === undefined) return { state: this.#untaken(letter, claim) }
    const { operation, taking } = taken
    if (operation.kind === 'DISCARD') return { state: taking === 'taken' ? 'discarded' : 'dead', operation }
    if (taking === 'queued') return { state: 'waiting', operation }
    if (claim !== undefined && claim.generation >= operation.id) return { state: claimed(claim), operation }
    if (isReadable(letter) && tookEffect(letter, claim)) return { state: 'processed', operation }
    const fate = this.#fateOf(letter, operation)
    if (fate !== 'passed') return { state: fate === 'lost' ? 'dead' : 'waiting', operation }
    // A claim that is still there was not touched: what was sent expired, or was not taken.
    return {
      state: claim === undefined || !isReadable(letter) ? 'processed' : untouched(letter, claim),
      operation,
    }
  }

  /** Where a letter stands that no operation took. */
  #untaken(letter: DeadLetter, claim: ClaimView | undefined): LetterState {
    if (claim === undefined) {
      const sent = this.#sentSince(letter)
      if (sent === undefined) return 'dead'
      const fate = this.#fateOf(letter, sent)
      return fate === 'passed' ? 'processed' : fate === 'lost' ? 'dead' : 'waiting'
    }
    if (claim.generation > letter.generation) return claimed(claim)
    if (isReadable(letter) && tookEffect(letter, claim)) return 'processed'
    return untouched(letter, claim)
  }

  /** Behind the window, where claims tell nothing: what sent another letter of the id since, which has not died again. */
  #sentSince(letter: DeadLetter): Operation | undefined {
    const { key, generation, record } = letter
    const sent = isReadable(letter) ? this.#sent.get(key) : undefined
    if (sent === undefined || sent.id <= generation || sent.startedAt < record.timestamp) return undefined
    return (this.#diedAgain.get(key) ?? 0) < sent.id ? sent : undefined
  }

  /** What a letter says of others of its id. */
  #note(letter: DeadLetter): void {
    const { key, generation } = letter
    if (generation > (this.#diedAgain.get(key) ?? 0)) this.#diedAgain.set(key, generation)
    const taken = this.#takenBy(letter)
    if (taken?.taking !== 'taken' || taken.operation.kind === 'DISCARD') return
    if (taken.operation.id > (this.#sent.get(key)?.id ?? 0)) this.#sent.set(key, taken.operation)
  }

  /** The letters of the same ids in the partition where these are at home. */
  async #readOthers(desk: Desk, processor: string, home: number): Promise<void> {
    for await (const letter of letters(desk, processor, home)) {
      if (this.#claims.has(letter.key)) this.#note(letter)
    }
  }

  #claimOf(letter: DeadLetter): ClaimView | undefined {
    const home = homeOf(letter, this.#partitions)
    return isAtHome(letter.record.key, home, this.#partitions) ? this.#claims.get(letter.key) : undefined
  }

  /** What became of what the operation sent of this letter, by the lane (Z2). */
  #fateOf(letter: DeadLetter, operation: Operation): ReturnType<LaneFate['of']> {
    const home = homeOf(letter, this.#partitions)
    const place = operation.kind === 'REPLAY' ? letter.origin : letter.record
    const fromElsewhere = isSentFromElsewhere(letter, home)
    return this.#fate.of(this.#lanes.get(home), operation, {
      offset: place?.offset ?? 0,
      home,
      fromElsewhere,
    })
  }

  /** The first operation that took the letter; a replay takes what others had before it, too. */
  #takenBy(letter: DeadLetter): { operation: Operation; taking: Taking } | undefined {
    let taken: { operation: Operation; taking: Taking } | undefined
    for (const { operation, takes } of this.#operations) {
      if (taken !== undefined && operation.kind !== 'REPLAY') continue
      const taking = takes(letter)
      if (taking !== 'not') taken = { operation, taking }
    }
    return taken
  }

  async #readClaims(desk: Desk, processor: string, partition: number): Promise<void> {
    const topics = topicsOf(processor)
    const claims = new RegistryReader<ClaimView>(CLAIM_SCHEMA, desk.registry)
    const positions = new RegistryReader<{ inputs: Record<string, number> }>(POSITIONS_SCHEMA, desk.registry)
    const bounds = (await desk.reader.bounds(topics.claims)).get(partition) ?? { low: 0, high: 0 }
    const range = { topic: topics.claims, partition, from: bounds.low, until: bounds.high }
    for await (const { records } of desk.reader.read(range)) {
      for (const { key, value } of records) {
        const name = String(key)
        if (name === POSITIONS_KEY) {
          const inputs = value === null ? {} : (await positions.decode(value)).inputs
          const lost = lostOf(topics.redrive, inputs)
          this.#lanes.set(partition, { settled: inputs[topics.redrive], lost, isIdle: false })
        } else if (this.#claims.has(name) && isAtHome(key, partition, this.#partitions)) {
          this.#claims.set(name, value === null ? undefined : await claimView(claims, value))
        }
      }
    }
  }

  async #readLane(desk: Desk, processor: string, partition: number): Promise<void> {
    const lane = this.#lanes.get(partition)
    const from = lane?.settled
    if (lane === undefined || from === undefined) return
    const topic = topicsOf(processor).redrive
    const { high } = (await desk.reader.bounds(topic)).get(partition) ?? { high: 0 }
    const first = await firstRecord(desk.reader, { topic, partition, from, until: high })
    lane.isIdle = first === undefined
  }
}

/** The dead letters of a partition, oldest first, all of those that are there now or those of a range. */
export async function* letters(
  desk: Desk,
  processor: string,
  partition: number,
  range?: { readonly from: number; readonly until: number },
): AsyncGenerator<DeadLetter> {
  const topic = topicsOf(processor).deadLetter
  const { low, high } = (await desk.reader.bounds(topic)).get(partition) ?? { low: 0, high: 0 }
  const request = { topic, partition, from: Math.max(low, range?.from ?? low), until: range?.until ?? high }
  for await (const { records } of desk.reader.read(request)) {
    for (const record of records) yield deadLetter(record)
  }
}

/** Progress tells how far a partition's own lane was filled; nothing of what came into that lane from others. */
function isSentFromElsewhere({ record, origin }: DeadLetter, home: number): boolean {
  return record.partition !== home || (origin?.topic === EVENTS_TOPIC && origin.partition !== home)
}

/**
 * A claim that lies elsewhere is from before the topics grew, and was copied to where it counts. A task's own records,
 * after which a foreign producer may have named a letter, are at home nowhere.
 */
function isAtHome(key: Buffer | null, partition: number, partitions: number): boolean {
  return key !== null && isClaimKey(key) && partitionOf(key, partitions) === partition
}

/** What is kept of a claim: of 100,000 the rest would be felt. */
async function claimView(reader: RegistryReader<ClaimView>, value: Buffer): Promise<ClaimView> {
  const { state, generation } = await reader.decode(value)
  return { state, generation }
}

/** Where a letter stands whose claim says nothing of what was done about it since it died. */
function untouched({ reason }: DeadLetter, { state }: ClaimView): LetterState {
  // The id of an event that died is DEAD: it has come again since, and has not died yet.
  return reason !== 'poison' && state === 'PENDING' ? 'waiting' : 'dead'
}

/** Whether the id of a letter has taken effect since, so that a redrive of it does nothing. */
function tookEffect({ replay }: DeadLetter, claim: ClaimView | undefined): boolean {
  return claim?.state === 'DONE' && claim.generation >= replay
}

/** DEAD at a later generation: the event's later dead letter speaks for it, or has expired. */
function claimed({ state }: ClaimView): LetterState {
  if (state === 'PENDING') return 'waiting'
  return state === 'DONE' ? 'processed' : 'superseded'
}

function takingOf(operation: Operation): (letter: DeadLetter) => Taking {
  const isReplay = operation.kind === 'REPLAY'
  const matches = matcher(operation.selection, !isReplay)
  return letter => {
    const { origin, record, generation } = letter
    const place = isReplay ? (origin?.topic === EVENTS_TOPIC ? origin : undefined) : record
    const range = place === undefined ? undefined : operation.ranges.get(place.partition)
    if (place === undefined || range === undefined || operation.id <= generation) return 'not'
    if (!isReplay && record.timestamp > operation.startedAt + CLOCKS_DIFFER_MS) return 'not'
    if (place.offset < range.from || place.offset >= range.until || !matches(letter)) return 'not'
    const through = operation.progress.get(place.partition)?.through ?? range.from
    if (operation.state === 'finished' || place.offset < through) return 'taken'
    return operation.state === 'open' ? 'queued' : 'not'
  }
}
