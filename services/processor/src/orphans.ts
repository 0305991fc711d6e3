/**
 * Finds claims that wait for a retry which is in no tier any more: its records expired, or the tier was deleted. Nothing
 * would ever settle them, and every repetition of their events would be a duplicate, for ever.
 *
 * A task looks where its tiers end, when it has acquired its partition and then with every refresh. Once it has settled
 * them up to there, a claim that was PENDING before the look and still is waits for nothing: a tier's record leaves its
 * claim settled, or PENDING for another attempt.
 *
 * To let go of one that does have a record would cost little: without a claim the record is fresh when it is due, and
 * a duplicate if a repetition of the event was faster.
 */
import type { Claim } from './claim.ts'

export interface OrphanWatchDependencies {
  /** The claims in Kafka that wait in a tier. */
  readonly pending: ReadonlyMap<string, Claim>
  /** Where the tiers end now; undefined while there is one that this task does not read. */
  tierEnds(): Promise<ReadonlyMap<string, number> | undefined>
  /** How far a tier is settled. */
  position(topic: string): number
  /** The brokers' clock. */
  now(): number
  found(orphans: readonly (readonly [eventId: string, claim: Claim])[]): void
}

export class OrphanWatch {
  readonly #deps: OrphanWatchDependencies
  #isLooking = false
  #look: { readonly ends: ReadonlyMap<string, number>; readonly before: number } | undefined

  constructor(deps: OrphanWatchDependencies) {
    this.#deps = deps
  }

  /**
   * Looks where the tiers end. `settlingMs`: for how long what was decided may not yet be in Kafka, so that its record
   * may come behind those ends. Rejects when Kafka does not say.
   */
  async look(settlingMs: number): Promise<void> {
    const { pending, tierEnds, now } = this.#deps
    if (pending.size === 0 || this.#isLooking) return
    this.#isLooking = true
    try {
      const before = now() - settlingMs
      const ends = await tierEnds()
      this.#look = ends === undefined ? undefined : { ends, before }
    } finally {
      this.#isLooking = false
    }
  }

  /** Says what is orphaned, once the tiers are settled up to where they ended. */
  check(): void {
    const { pending, position, found } = this.#deps
    if (this.#look === undefined) return
    const { ends, before } = this.#look
    for (const [topic, end] of ends) if (position(topic) < end) return
    this.#look = undefined
    const orphans = [...pending].filter(([, { at }]) => at <= before)
    if (orphans.length > 0) found(orphans)
  }
}
