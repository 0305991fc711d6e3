/**
 * The handlers that one process may run at once for a processor, and the bytes that they may hold. Its tasks share
 * them in turn.
 *
 * K1. Never more than `count` attempts at once.
 * K2. While `bytesMax` bytes are held, of records and of what was emitted, only a task that runs nothing may begin an
 *     attempt: so beyond `bytesMax` there is one record for each task, and what attempts under way still emit.
 * K3. A task that runs nothing finds a slot although others are slow: one is kept for each such task, up to half of
 *     all slots.
 */
export class Slots {
  readonly #count: number
  readonly #bytesMax: () => number
  #free: number
  #bytesHeld = 0
  /** Tasks that run nothing. */
  #idle = 0
  /** Tasks that found no slot, in the order in which they asked. */
  readonly #waiting = new Set<TaskSlots>()

  /** `bytesMax` is asked each time: what is left for attempts changes. */
  constructor(count: number, bytesMax: () => number) {
    this.#count = count
    this.#free = count
    this.#bytesMax = bytesMax
  }

  /** A task's share. `wake` is called once when a slot may be free after `take` found none. */
  join(wake: () => void): TaskSlots {
    this.#idle++
    return new TaskSlots(this, wake)
  }

  /** For `TaskSlots` alone. */
  take(task: TaskSlots): boolean {
    if (!this.#mayTake(task)) {
      this.#waiting.add(task)
      return false
    }
    if (task.running === 0) this.#idle--
    this.#free--
    return true
  }

  /** For `TaskSlots` alone. */
  hold(bytes: number): void {
    this.#bytesHeld += bytes
  }

  /** For `TaskSlots` alone. */
  give(task: TaskSlots, bytes: number): void {
    if (task.running === 0 && !task.hasLeft) this.#idle++
    this.#free++
    this.#bytesHeld -= bytes
    this.#wake()
  }

  /** For `TaskSlots` alone. */
  leave(task: TaskSlots): void {
    this.#waiting.delete(task)
    if (task.running === 0) this.#idle--
    this.#wake()
  }

  #mayTake({ running }: TaskSlots): boolean {
    if (running === 0) return this.#free > 0
    return (
      this.#bytesHeld < this.#bytesMax() && this.#free > Math.min(this.#idle, Math.floor(this.#count / 2))
    )
  }

  /** Wakes each waiting task once, until the slots are gone; one that still finds none waits again. */
  #wake(): void {
    let left = this.#waiting.size
    for (const task of this.#waiting) {
      if (left-- === 0 || this.#free === 0) return
      this.#waiting.delete(task)
      task.wake()
    }
  }
}

/** The slots of one task. */
export class TaskSlots {
  readonly #slots: Slots
  readonly wake: () => void
  #running = 0
  #hasLeft = false

  constructor(slots: Slots, wake: () => void) {
    this.#slots = slots
    this.wake = wake
  }

  /** Slots that the task has. */
  get running(): number {
    return this.#running
  }

  get hasLeft(): boolean {
    return this.#hasLeft
  }

  /** Takes a slot, if there is one. */
  take(): boolean {
    if (!this.#slots.take(this)) return false
    this.#running++
    return true
  }

  /** Says how many bytes more the attempt in a slot holds. */
  hold(bytes: number): void {
    this.#slots.hold(bytes)
  }

  /** Gives a slot back, and the bytes that its attempt held. */
  give(bytes = 0): void {
    this.#running--
    this.#slots.give(this, bytes)
  }

  /** The task has ended; what it still runs is given back later. */
  leave(): void {
    if (this.#hasLeft) return
    this.#hasLeft = true
    this.#slots.leave(this)
  }
}
