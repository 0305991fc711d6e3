/** One finished attempt, as kept in the history header of retry records and dead letters. */
export interface AttemptRecord {
  /** 1 is the first. */
  readonly attempt: number
  /** When the handler started, ms since the epoch, the processor's clock. */
  readonly startedAt: number
  readonly durationMs: number
  readonly code: string
  /** Cut to `MESSAGE_CHARS_MAX`; never a stack trace. */
  readonly message: string
}

/** Longest failure message kept in a header, in UTF-16 code units. */
export const MESSAGE_CHARS_MAX = 1_000
/** How many attempts a history keeps: the first, and the last ones. */
const HISTORY_ENTRIES_MAX = 20
/** Messages inside a history are shorter, so that the header stays within the topics' headroom. */
const HISTORY_MESSAGE_CHARS_MAX = 200

/** The history with one more attempt, bounded: the first entry and the latest ones stay. */
export function extendHistory(
  history: readonly AttemptRecord[],
  attempt: AttemptRecord,
): readonly AttemptRecord[] {
  const entry = { ...attempt, message: attempt.message.slice(0, HISTORY_MESSAGE_CHARS_MAX) }
  const extended = [...history, entry]
  if (extended.length <= HISTORY_ENTRIES_MAX) return extended
  return [extended[0] as AttemptRecord, ...extended.slice(1 - HISTORY_ENTRIES_MAX)]
}

/** The history in a header's text; empty when the header is absent or is none of ours. */
export function parseHistory(text: string | undefined): readonly AttemptRecord[] {
  if (text === undefined) return []
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) && value.every(isAttemptRecord) ? value : []
  } catch {
    return []
  }
}

function isAttemptRecord(value: unknown): value is AttemptRecord {
  if (typeof value !== 'object' || value === null) return false
  const entry = value as Record<string, unknown>
  return (
    typeof entry.attempt === 'number' &&
    typeof entry.startedAt === 'number' &&
    typeof entry.durationMs === 'number' &&
    typeof entry.code === 'string' &&
    typeof entry.message === 'string'
  )
}
