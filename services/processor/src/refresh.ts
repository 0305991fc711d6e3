/**
 * PENDING claims are written again every quarter of the window (or more often, see windows.ts), for they must not expire. A few are taken with each
 * transaction: all at once would stop the process for seconds, and outlast the transaction's time (N2).
 *
 * A claim is read from those that Kafka has when its turn comes (N1): one that was settled meanwhile is left out, or it
 * would lie behind its end and wait for ever.
 *
 * Why none expires between two writes: the topic keeps each record for the window and a segment's time, and compaction
 * keeps a key's last one in any case. A round takes them in the order in which they came, so a claim's place in the next
 * round is the same or an earlier one, and what lies between two of its writes is a quarter of the window or the time
 * that a round takes, whichever is longer: a round that is asked for while one runs follows at once. With two
 * transactions 80 ms apart a million claims take less than a minute.
 */
import type { Claim } from './claim.ts'

/** Claims in one transaction. */
const TRANSACTION_CLAIMS_MAX = 2_000

type Entry = readonly [eventId: string, claim: Claim]

export class Refresh {
  readonly #pending: ReadonlyMap<string, Claim>
  readonly #orphans: Entry[] = []
  #asked = false
  /** A map's own iterator: it leaves out what is deleted before its turn. */
  #round: Iterator<Entry> = new Map<string, Claim>().entries()
  /** Of the round. Claims that are added meanwhile come behind them, and are new. */
  #left = 0

  /** `pending`: the claims in Kafka that wait in a retry tier. */
  constructor(pending: ReadonlyMap<string, Claim>) {
    this.#pending = pending
  }

  /** Asks for a round. */
  ask(): void {
    this.#asked = true
  }

  /** Whether anything is still to be written again, the positions included. */
  get isDue(): boolean {
    return this.#asked || this.#left > 0 || this.#orphans.length > 0
  }

  /** What the next transaction writes again. */
  next(): Entry[] {
    if (this.#left === 0 && this.#asked) {
      this.#asked = false
      this.#round = this.#pending.entries()
      this.#left = this.#pending.size
    }
    const entries: Entry[] = []
    while (this.#left > 0 && entries.length < TRANSACTION_CLAIMS_MAX) {
      this.#left--
      const { value } = this.#round.next()
      if (value === undefined) this.#left = 0
      else entries.push(value)
    }
    return entries
  }

  /** Has claims let go. */
  letGo(orphans: readonly Entry[]): void {
    for (const orphan of orphans) this.#orphans.push(orphan)
  }

  /** The ids that the next transaction lets go: those whose claims are still the same. */
  nextGone(): string[] {
    const orphans = this.#orphans.splice(0, TRANSACTION_CLAIMS_MAX)
    return orphans.filter(([id, claim]) => this.#pending.get(id) === claim).map(([id]) => id)
  }

  /** Gives up what is left of a round. */
  stop(): void {
    this.#asked = false
    this.#left = 0
    this.#orphans.length = 0
  }
}
