/**
 * How long the position of an input has been held by records that were taken and are not settled. Records are taken in
 * the order of their offsets; so a look now and then, at how far they have been taken, says of all below that they have
 * been held since, and costs the records nothing. The oldest look goes from owner to owner with the position.
 */
import type { Held } from '@sallyport/core/contract'

/** Looks within the limit. */
const LOOKS = 8

/** What is seen of an input. */
export interface InputSight {
  /** Now, by the brokers' clock, ms since the epoch. */
  readonly now: number
  /** Offset of the first record that is not settled. */
  readonly position: number
  /** Offset below which all records have been taken. */
  readonly front: number
}

export class PositionHold {
  readonly #looks: Held[]

  /** `before`: what the last owner saw. */
  constructor(before: Held | null = null) {
    this.#looks = before === null ? [] : [before]
  }

  /** Takes a look. Returns the offset below which what is not settled has been held for `limitMs`. */
  look({ now, position, front }: InputSight, limitMs: number): number | undefined {
    this.#pass(position)
    const last = this.#looks.at(-1)
    const isNew = front > Math.max(position, last?.below ?? 0)
    if (isNew && now - (last?.since ?? Number.NEGATIVE_INFINITY) >= limitMs / LOOKS) {
      this.#looks.push({ since: Math.floor(now), below: front })
    }
    const isOld = ({ since }: Held): boolean => now - since >= limitMs
    // Of several that are old enough the last one says all.
    while (this.#looks[1] !== undefined && isOld(this.#looks[1])) this.#looks.shift()
    const [oldest] = this.#looks
    return oldest !== undefined && isOld(oldest) ? oldest.below : undefined
  }

  /** Since when a position has been held; null where it is not. */
  at(position: number): Held | null {
    return this.#looks.find(({ below }) => below > position) ?? null
  }

  /** What the position has passed is held no more. */
  #pass(position: number): void {
    const left = this.#looks.findIndex(({ below }) => below > position)
    this.#looks.splice(0, left < 0 ? this.#looks.length : left)
  }
}
