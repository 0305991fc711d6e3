/**
 * The memory of one process for what its processors hold: records in queues, attempts, outcomes that are not settled, and
 * claims. All parts are of one budget, whatever the number of processors, partitions and tiers.
 *
 * K4. Claims take four fifths of the budget at most. Records have what the claims leave, a fifth of the budget at least,
 *     and never more than `recordsBytesMax`.
 * K5. Half of the records' part is for queues. Half of that is shared out evenly among the inputs of all tasks, and
 *     nobody takes another one's share; the rest goes to whoever comes first, but not to retry tiers: their records wait
 *     for their time, and would keep it from those that are due.
 * K6. Nobody waits for another one's memory: an input whose queue is empty takes one record in any case, a task that runs
 *     nothing begins an attempt, and an outcome is taken while nothing else waits to be settled. So beyond the budget
 *     there is one record for each of these at most, and what attempts under way still emit.
 *
 *     records' part   1/2 queues · 1/8 attempts · 1/8 records whose id is being attempted, or that were put back
 *                     1/4 outcomes, which are there twice while they are written
 */
import type { ClaimsBudget } from './claims-budget.ts'

const RECORDS_SHARE_MIN = 1 / 5
const QUEUES = 1 / 2
const ATTEMPTS = 1 / 8
const WAITING = 1 / 8
/** Half of a quarter: see above. */
const OUTCOMES = 1 / 8

export class ProcessMemory {
  readonly claims: ClaimsBudget
  readonly #bytesMax: number
  readonly #recordsBytesMax: number
  #tasks = 0
  #inputs = 0
  /** Bytes in the queues of all inputs. */
  #queued = 0

  /** `bytesMax`: the budget; `recordsBytesMax`: what of it records may take, however little the claims need. */
  constructor(claims: ClaimsBudget, bytesMax: number, recordsBytesMax = bytesMax) {
    this.claims = claims
    this.#bytesMax = bytesMax
    this.#recordsBytesMax = recordsBytesMax
  }

  /** What the attempts of one of so many processors may hold now, bytes. */
  attemptsMax(processors: number): number {
    return (this.#records * ATTEMPTS) / processors
  }

  /** A task's part; it has so many inputs. */
  join(inputs: number): TaskMemory {
    this.#tasks++
    this.#inputs += inputs
    return new TaskMemory(this, inputs)
  }

  /** For `TaskMemory` alone. */
  queueRoom(held: number, isWaiting: boolean): number {
    const queues = this.#records * QUEUES
    const own = queues / 2 / Math.max(1, this.#inputs) - held
    return isWaiting ? own : Math.max(own, queues / 2 - this.#queued)
  }

  /** For `TaskMemory` alone. */
  queue(bytes: number): void {
    this.#queued += bytes
  }

  /** For `TaskMemory` alone. */
  get waitingMax(): number {
    return (this.#records * WAITING) / Math.max(1, this.#tasks)
  }

  /** For `TaskMemory` alone. */
  get outcomesMax(): number {
    return (this.#records * OUTCOMES) / Math.max(1, this.#tasks)
  }

  /** For `TaskMemory` alone. */
  leave(inputs: number, queued: number): void {
    this.#tasks--
    this.#inputs -= inputs
    this.#queued -= queued
  }

  get #records(): number {
    const left = Math.max(this.#bytesMax - this.claims.bytes, this.#bytesMax * RECORDS_SHARE_MIN)
    return Math.min(left, this.#recordsBytesMax)
  }
}

/** One task's part of the process's memory. */
export class TaskMemory {
  readonly #memory: ProcessMemory
  readonly #inputs: number
  #queued = 0
  #hasLeft = false

  constructor(memory: ProcessMemory, inputs: number) {
    this.#memory = memory
    this.#inputs = inputs
  }

  /** How many bytes an input may add to the `held` ones of its queue; negative where it holds too many by now. */
  queueRoom(held: number, isWaiting: boolean): number {
    return this.#memory.queueRoom(held, isWaiting)
  }

  /** Bytes have come into its queues, or left them (negative). */
  queue(bytes: number): void {
    if (this.#hasLeft) return
    this.#queued += bytes
    this.#memory.queue(bytes)
  }

  /** Bytes that may wait for an attempt at their id, and as many that were put back. */
  get waitingMax(): number {
    return this.#memory.waitingMax
  }

  /** Bytes of outcomes that are not settled. */
  get outcomesMax(): number {
    return this.#memory.outcomesMax
  }

  /** The task has ended. */
  leave(): void {
    if (this.#hasLeft) return
    this.#hasLeft = true
    this.#memory.leave(this.#inputs, this.#queued)
  }
}
