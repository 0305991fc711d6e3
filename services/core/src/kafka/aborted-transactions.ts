/**
 * Tells a committed reader what to leave out of a fetched partition, as it goes through it from the front.
 *
 * Source: Kafka, `CompletedFetch.java` (`abortedTransactions`).
 */

/** The type in a control record's key, behind its version: the transaction was aborted. */
const ABORT = 0

export class AbortedTransactions<ProducerId> {
  /** Those that have not begun yet, the next one last: brokers name them in any order. */
  readonly #ahead: { readonly producerId: ProducerId; readonly firstOffset: bigint }[]
  readonly #aborting = new Set<ProducerId>()

  constructor(named: readonly { readonly producerId: ProducerId; readonly firstOffset: bigint }[]) {
    this.#ahead = named.toSorted((a, b) => Number(b.firstOffset - a.firstOffset))
  }

  /** Takes into account all that have begun up to an offset. */
  reach(offset: bigint): void {
    for (
      let next = this.#ahead.at(-1);
      next !== undefined && next.firstOffset <= offset;
      next = this.#ahead.at(-1)
    ) {
      this.#aborting.add(next.producerId)
      this.#ahead.pop()
    }
  }

  /** Takes a control record into account, by its key. */
  control(producerId: ProducerId, key: Buffer | null | undefined): void {
    if (key != null && key.length >= 4 && key.readInt16BE(2) === ABORT) this.#aborting.delete(producerId)
  }

  /** Whether what a producer wrote here in a transaction was aborted. */
  has(producerId: ProducerId): boolean {
    return this.#aborting.has(producerId)
  }
}
