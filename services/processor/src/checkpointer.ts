/**
 * Saves the claims of a task that runs, when reading what came since would take a restart too long, and brings what
 * the last checkpoint holds into memory bit by bit. A save that fails is no harm: the topic has everything.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '@sallyport/core/clock'
import { errorMessage } from '@sallyport/core/errors'
import type { Log } from '@sallyport/core/log'
import type { Checkpoint, CheckpointHead } from './checkpoint.ts'
import type { ClaimStore } from './claim-store.ts'
import type { InputStanding } from './claims-record.ts'
import { PROCESS_ID } from './process-id.ts'

/** Records of the claims topic that a restart may have to read. */
const TAIL_RECORDS_MAX = 50_000
/** Between two segments that are brought into memory, ms. */
const LOAD_PAUSE_MS = 20

/** What the claims topic held when all of it was filed. */
export interface Covered {
  /** One past the last record; undefined where the broker did not say. */
  readonly offset: number | undefined
  readonly positions: readonly InputStanding[]
  /** When it was written, by the brokers' clock, ms since the epoch. */
  readonly at: number
  /** Its owner has left with it: nobody saves behind the farewell, or it would be forgotten. */
  readonly hasLeft: boolean
}

/** A checkpoint that this task may write. */
export interface OwnedCheckpoint {
  readonly file: Checkpoint
  /** Up to where it has the claims; undefined where it has none, and is saved as soon as can be. */
  readonly savedOffset: number | undefined
}

export class Checkpointer {
  readonly #file: Checkpoint
  readonly #claims: ClaimStore
  readonly #log: Log
  /** This host's, for the file's age alone: claims hold by the brokers' clock. */
  readonly #now: Clock
  readonly #intervalMs: number
  #savedOffset: number | undefined
  /** When the last save that succeeded began, or when the last one failed. */
  #triedAt: number
  #failed = false
  #busy = false
  #closed = false

  /** `intervalMs`: how long ago the last save may be. */
  constructor(
    { file, savedOffset }: OwnedCheckpoint,
    claims: ClaimStore,
    intervalMs: number,
    now: Clock,
    log: Log,
  ) {
    this.#file = file
    this.#claims = claims
    this.#intervalMs = intervalMs
    this.#savedOffset = savedOffset
    this.#triedAt = now()
    this.#now = now
    this.#log = log
  }

  /** Brings the rest of the checkpoint into memory; rejects with `SP_RESTORE` when it is damaged. */
  async load(): Promise<void> {
    while (!this.#closed && this.#claims.loadNext()) await sleep(LOAD_PAUSE_MS)
  }

  /** Called after every transaction, once its claims are filed. */
  settled({ offset, positions, at, hasLeft }: Covered): void {
    if (offset === undefined || hasLeft || this.#busy || this.#closed) return
    if (!this.#isDue(offset)) return
    this.#busy = true
    const logs = positions.flatMap(({ topic, log }) => (log === undefined ? [] : [[topic, log] as const]))
    void this.#save({
      offset,
      positions: Object.fromEntries(positions.map(({ topic, offset }) => [topic, offset])),
      logs: Object.fromEntries(logs),
      positionsAt: at,
    })
  }

  #isDue(offset: number): boolean {
    if (this.#now() - this.#triedAt >= this.#intervalMs) return true
    // A full disk stays full for a while: whatever the offset says, the next try can wait.
    if (this.#failed) return false
    return this.#savedOffset === undefined || offset - this.#savedOffset >= TAIL_RECORDS_MAX
  }

  /** Ends a save that is under way; the file keeps the last one. */
  close(): void {
    this.#closed = true
    this.#file.close()
  }

  async #save(covered: Pick<CheckpointHead, 'offset' | 'positions' | 'logs' | 'positionsAt'>): Promise<void> {
    const { offset } = covered
    const savedAt = this.#now()
    const changed = this.#claims.takeChanged()
    try {
      const head = { ...covered, savedAt, hashKey: this.#claims.hashKey, process: PROCESS_ID }
      const startedAt = performance.now()
      if (await this.#file.save(this.#claims.parts(changed), head)) {
        this.#savedOffset = offset
        this.#triedAt = savedAt
        this.#failed = false
        this.#log.debug({ offset, ms: Math.round(performance.now() - startedAt) }, 'checkpoint saved')
        this.#busy = false
      } else {
        // Stays busy: never again.
        this.#log.info('the checkpoint has a newer owner')
      }
    } catch (error) {
      this.#claims.giveBack(changed)
      this.#triedAt = this.#now()
      this.#failed = true
      this.#busy = false
      if (!this.#closed) this.#log.warn({ error: errorMessage(error) }, 'the checkpoint was not saved')
    }
  }
}
