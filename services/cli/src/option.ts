/** Parsers of option values, for commander: a wrong value is a usage error that names the option. */
import { durationMs } from '@sallyport/core/duration'
import { errorMessage } from '@sallyport/core/errors'
import { InvalidArgumentError } from 'commander'

/** A whole number between two bounds. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return text => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (!(value >= min && value <= max)) {
      throw new InvalidArgumentError(`it must be a whole number from ${min} to ${max}.`)
    }
    return value
  }
}

/** Milliseconds of a duration: `500ms`, `30s`, `24h`. */
export function duration(text: string): number {
  try {
    return durationMs(text, 'the value')
  } catch (error) {
    throw new InvalidArgumentError(`${errorMessage(error).replace(/^SP_SETTINGS: /, '')}.`)
  }
}

/** Last moment that a Date can hold, seconds since the epoch. */
const UNIX_SECONDS_MAX = 8_640_000_000_000

const ISO = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$/

/**
 * A moment, ms since the epoch: so long ago (`2h`, `7d`), or ISO 8601 (`2026-11-24`, `2026-11-24T18:30:00Z`). Without
 * a zone a date is UTC, and a date with a time is local, as JavaScript has it.
 */
export function moment(text: string): number {
  if (ISO.test(text)) {
    const at = Date.parse(text)
    if (!Number.isNaN(at)) return at
  } else if (/^\d/.test(text) && !text.includes('-')) {
    return Date.now() - duration(text)
  }
  throw new InvalidArgumentError(
    'it is no time: write how long ago, like 30m, 2h or 7d, or ISO 8601, like 2026-11-24T18:30:00Z.',
  )
}

/** A moment as senders write it, too: unix seconds. */
export function momentOrUnix(text: string): number {
  const seconds = /^\d+$/.test(text) ? Number(text) : Number.NaN
  return seconds <= UNIX_SECONDS_MAX ? seconds * 1000 : moment(text)
}
