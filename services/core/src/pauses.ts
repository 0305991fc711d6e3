/** Which processors operators paused, folded from the records of `sallyport.audit`. */
import type { AuditRecord, Checkpoint, CheckpointPause, Operator } from './contract.ts'

/** A processor's intake, as an operator left it. */
export interface PauseState {
  readonly paused: boolean
  readonly by: Operator
  readonly why: string
  readonly at: number
}

/** The part of the audit that a processor keeps: its memory grows with the number of processors alone. */
export class Pauses {
  readonly #states = new Map<string, PauseState>()

  /** Takes one record; what says nothing of a pause is passed over. */
  apply(_offset: number, at: number, { kind, processor, by, why }: AuditRecord): void {
    if (kind === 'PAUSE' || kind === 'RESUME') {
      this.#states.set(processor, { paused: kind === 'PAUSE', by, why, at })
    }
  }

  /** Takes a part of a checkpoint; before any record that the checkpoint does not take in. */
  restore({ pauses }: Checkpoint): void {
    for (const { processor, by, why, at } of pauses)
      this.#states.set(processor, { paused: true, by, why, at })
  }

  /** What operators last said about a processor's intake; undefined where nobody ever did. */
  pauseOf(processor: string): PauseState | undefined {
    return this.#states.get(processor)
  }

  /** The pauses as a checkpoint has them. */
  get entries(): CheckpointPause[] {
    return [...this.#states].flatMap(([processor, { paused, by, why, at }]) =>
      paused ? [{ processor, by, why, at }] : [],
    )
  }
}
