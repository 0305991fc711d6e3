/**
 * Which secrets the sources have learnt from their senders' handshakes, folded from the records of
 * `sallyport.source-secrets`: whoever folds them, whenever it starts, comes to the same.
 *
 *     OPENED → LEARNT | CLOSED | its time is over
 *
 * The order of the topic decides: of any number of ingresses that offer a secret at once, the first record within the
 * time counts and closes it. Times are the brokers'.
 */
import { type AvroSchema, loadSchema } from './codec.ts'
import type { SourceSecret } from './contract.ts'
import type { Sealed } from './sealing.ts'

export type { SourceSecret }

export const SOURCE_SECRET_SCHEMA: AvroSchema = loadSchema('source-secret.v1')

/** Learnt secrets that a source has at once, the newest first; a sender with one for each subscription has several. */
const LEARNT_MAX = 20

/** A time that an operator opened. */
export interface LearningWindow {
  readonly id: string
  readonly by: string
  readonly openedAt: number
  /** The last moment, ms since the epoch, the brokers' clock. */
  readonly untilMs: number
  readonly nonceHash: string | null
  readonly from: readonly string[]
  readonly replaces: boolean
  readonly state: 'open' | 'learnt' | 'closed'
}

export interface LearntSecret extends Sealed {
  readonly source: string
  readonly window: string
  readonly offset: number
  readonly at: number
}

export class SourceSecrets {
  readonly #windows = new Map<string, LearningWindow>()
  readonly #learnt = new Map<string, readonly LearntSecret[]>()

  /** Takes one record; what a later version wrote and this one does not know is passed over. */
  apply(offset: number, at: number, record: SourceSecret): void {
    const { source, step, window: id, by, forMs, nonceHash, from, replaces } = record
    const window = this.#windows.get(source)
    switch (step) {
      case 'OPENED': {
        const untilMs = at + forMs
        const opened = { id, by, openedAt: at, untilMs, nonceHash, from, replaces, state: 'open' } as const
        this.#windows.set(source, opened)
        return
      }
      case 'CLOSED':
        if (window?.id === id && window.state === 'open')
          this.#windows.set(source, { ...window, state: 'closed' })
        return
      case 'LEARNT':
        this.#learn(offset, at, record, window)
        return
      case 'FORGOTTEN':
        this.#learnt.delete(source)
        if (window?.state === 'open') this.#windows.set(source, { ...window, state: 'closed' })
    }
  }

  /** The window that was opened last, whatever became of it. */
  window(source: string): LearningWindow | undefined {
    return this.#windows.get(source)
  }

  /** The secrets that a source has learnt, the newest first. */
  learnt(source: string): readonly LearntSecret[] {
    return this.#learnt.get(source) ?? []
  }

  #learn(offset: number, at: number, record: SourceSecret, window: LearningWindow | undefined): void {
    const { source, keyId, sealed } = record
    if (window?.state !== 'open' || window.id !== record.window || at > window.untilMs) return
    if (keyId === null || sealed === null) return
    this.#windows.set(source, { ...window, state: 'learnt' })
    const earlier = window.replaces ? [] : this.learnt(source)
    const learnt = { source, window: window.id, offset, at, keyId, sealed }
    this.#learnt.set(source, [learnt, ...earlier].slice(0, LEARNT_MAX))
  }
}

/** What a learnt secret is sealed to. */
export function ownerOf({ source, window }: Pick<LearntSecret, 'source' | 'window'>): string {
  return `${source}\n${window}`
}

/** A record with the fields that a step does not use left as they are by default. */
export function sourceSecret(
  record: Partial<SourceSecret> & Pick<SourceSecret, 'source' | 'step'>,
): SourceSecret {
  return {
    window: '',
    by: '',
    forMs: 0,
    nonceHash: null,
    from: [],
    replaces: false,
    keyId: null,
    sealed: null,
    ...record,
  }
}
