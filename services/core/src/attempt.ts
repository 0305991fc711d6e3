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
/** Longest error code of ours, and more. */
const CODE_CHARS_MAX = 64

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

/**
 * The history in a header's text; empty when the header is absent or is none of ours. A foreign producer may have written
 * anything: what comes of it is no larger than what `extendHistory` makes.
 */
export function parseHistory(text: string | undefined): readonly AttemptRecord[] {
  if (text === undefined) return []
  try {
    const value: unknown = JSON.parse(text)
    if (!Array.isArray(value) || value.length > HISTORY_ENTRIES_MAX) return []
    const entries = value.map(attemptRecord)
    return entries.every(entry => entry !== undefined) ? entries : []
  } catch {
    return []
  }
}

/** The fields of an attempt, and nothing else; undefined where it is none. */
function attemptRecord(value: unknown): AttemptRecord | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { attempt, startedAt, durationMs, code, message } = value as Record<string, unknown>
  if (![attempt, startedAt, durationMs].every(isSmall)) return undefined
  if (typeof code !== 'string' || typeof message !== 'string') return undefined
  return {
    attempt: attempt as number,
    startedAt: startedAt as number,
    durationMs: durationMs as number,
    code: code.slice(0, CODE_CHARS_MAX),
    message: message.slice(0, HISTORY_MESSAGE_CHARS_MAX),
  }
}

/** Whether it is a number whose text is short; durations have fractions. */
function isSmall(value: unknown): boolean {
  return typeof value === 'number' && Math.abs(value) <= Number.MAX_SAFE_INTEGER
}
