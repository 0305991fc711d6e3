/**
 * Sets records aside that hold a position for long. What is settled behind a held position is kept from running again by
 * claims alone, and those expire, while the next owner reads from the position. So whatever has held one for a quarter of
 * the shortest window, over all owners, goes on in the first tier under the same attempt number: its claim is PENDING,
 * and the position passes it. An attempt that is under way goes on; its outcome is settled without its record, and the
 * claim tells the record in the tier what came of it.
 *
 * | what holds a position                                | becomes                                                |
 * |------------------------------------------------------|--------------------------------------------------------|
 * | an attempt that runs on                              | set aside                                              |
 * | a record that was put back (the breaker, a pause)    | what its claim says: a duplicate; else set aside       |
 * | a record that waits for an attempt at its id         | the same; of another generation: it waits on           |
 * | the same in a processor without tiers                | an attempt: nothing, its timeout is short enough       |
 * |                                                      | (windows.ts); put back: the dead letter                |
 */
import type { FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import type { Log } from '@sallyport/core/log'
import type { AttemptedIds } from './attempted-ids.ts'
import type { ClaimStore } from './claim-store.ts'
import type { ProcessorConfig } from './config.ts'
import { claimAfter, type Outcome } from './decide.ts'
import type { EventDecoder, EventRecord } from './decode.ts'
import type { Failure } from './failure.ts'
import type { Intake } from './poll.ts'
import type { SettleQueue } from './settle-queue.ts'
import { HELD_SHARE } from './windows.ts'

export interface SetAsideDependencies {
  readonly processor: ProcessorConfig
  readonly decoder: EventDecoder
  readonly intake: Intake
  readonly claims: ClaimStore
  readonly queue: SettleQueue
  readonly attempted: AttemptedIds
  readonly log: Log
  windowMs(eventRecord: EventRecord): number
  /** Why a record is not attempted; undefined when it is. */
  unwanted(eventRecord: EventRecord): Outcome | undefined
}

const NOWHERE_TO_WAIT: Failure = {
  kind: 'retryable',
  code: 'SP_HANDLER_FAILED',
  message:
    'it could not be attempted again for a quarter of the window, and no retry tier is there to wait in',
  blamesDependency: true,
}

export class SetAside {
  readonly #deps: SetAsideDependencies

  constructor(deps: SetAsideDependencies) {
    this.#deps = deps
  }

  /** Looks at every input at the brokers' time `now`; `windowMs`: the shortest time that claims hold. */
  look(now: number, windowMs: number): void {
    for (const { hold, front, spec, watermark } of this.#deps.intake.inputs) {
      const below = hold.look({ now, front, position: watermark.position }, windowMs * HELD_SHARE)
      if (below !== undefined)
        this.#setAside(({ topic, offset }) => topic === spec.topic && offset < below, now)
    }
  }

  #setAside(isHeld: (record: FetchedRecord) => boolean, now: number): void {
    const { attempted, intake } = this.#deps
    for (const attempt of attempted.all) {
      const { eventRecord, isAside } = attempt
      if (!isAside && isHeld(eventRecord.record)) attempt.isAside = this.#hop(eventRecord, now)
      for (const record of attempted.takeWaiting(attempt, isHeld)) this.#settle(record, now)
    }
    for (const record of intake.takePutBack(isHeld)) this.#settle(record, now)
  }

  /** A record that is not attempted at the moment. */
  #settle(record: FetchedRecord, now: number): void {
    const { attempted, decoder, intake, unwanted } = this.#deps
    const decoded = decoder.decode(record)
    if (decoded.kind !== 'event') {
      intake.putBack([record])
      return
    }
    const { eventRecord } = decoded
    const outcome = unwanted(eventRecord)
    const attempt = attempted.get(eventRecord.event.id)
    if (outcome !== undefined) {
      this.#add(eventRecord, outcome, now)
    } else if (attempt === undefined) {
      if (!this.#hop(eventRecord, now)) this.#giveUp(eventRecord, now)
    } else if (
      !attempt.isAside ||
      !isOfOneRound(attempt.eventRecord, eventRecord) ||
      !this.#hop(eventRecord, now)
    ) {
      attempted.wait(attempt, record)
    }
  }

  /** False: there is no tier. */
  #hop(eventRecord: EventRecord, now: number): boolean {
    if (this.#deps.processor.delaysMs.length === 0) return false
    const { event, round } = eventRecord
    this.#deps.log.info(
      { event: event.id, attempt: round.attempt },
      'set aside: it held its position for long, and goes on in the first tier under the same attempt number',
    )
    this.#add(eventRecord, { kind: 'aside' }, now)
    return true
  }

  #giveUp(eventRecord: EventRecord, now: number): void {
    const { event, round } = eventRecord
    const { code, message: reason } = NOWHERE_TO_WAIT
    this.#deps.log.warn({ event: event.id, attempt: round.attempt, code, reason }, 'dead letter')
    this.#add(eventRecord, { kind: 'dead', reason: 'exhausted', failure: NOWHERE_TO_WAIT }, now)
  }

  #add(eventRecord: EventRecord, outcome: Outcome, now: number): void {
    const { claims, queue, windowMs } = this.#deps
    const { event, record, round } = eventRecord
    const claim = claimAfter(outcome, round, windowMs(eventRecord), now)
    if (claim !== null) claims.decide(event.id, claim)
    queue.add({ record, eventRecord, outcome, attempt: null, claim, span: null })
  }
}

/** Whether two records of an id belong to the same way through: the first one's tier record comes after it. */
function isOfOneRound(one: EventRecord, other: EventRecord): boolean {
  return one.round.generation === other.round.generation
}
