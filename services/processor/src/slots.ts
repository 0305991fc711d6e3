/** The handlers that one process may run at once for a processor, shared by its tasks in turn. */
export class Slots {
  #free: number
  /** Tasks that found no slot, in the order in which they asked. */
  readonly #waiting = new Set<() => void>()

  constructor(count: number) {
    this.#free = count
  }

  /** Takes a slot; where none is free, `wake` is called once when one is. */
  take(wake: () => void): boolean {
    if (this.#free === 0) {
      this.#waiting.add(wake)
      return false
    }
    this.#free--
    return true
  }

  /** Gives a slot back, and wakes waiting tasks until one of them has taken it. */
  give(): void {
    this.#free++
    for (const wake of this.#waiting) {
      if (this.#free === 0) return
      this.#waiting.delete(wake)
      wake()
    }
  }

  /** Forgets a task that has ended. */
  forget(wake: () => void): void {
    this.#waiting.delete(wake)
  }
}
