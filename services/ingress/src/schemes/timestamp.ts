/** Reading the times that senders sign. One text for one time: digits only, without leading zeros, or RFC 3339. */

/**
 * - `s`, `ms`: digits since the epoch
 * - `rfc3339`: `2027-01-01T00:00:00Z`, with up to nine decimals and any offset
 * - `auto`: any of the three; numbers under 10^11 are seconds (until the year 5138)
 */
export type TimeUnit = 's' | 'ms' | 'rfc3339' | 'auto'

const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(\d{1,9}))?(?:Z|([+-])\d\d:\d\d)$/
const SECONDS_BELOW = 1e11
const DIGITS_MAX = 15

function digits(text: string): number | null {
  if (text.length === 0 || text.length > DIGITS_MAX) return null
  if (text.length > 1 && text.startsWith('0')) return null
  let value = 0
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return null
    value = value * 10 + digit
  }
  return value
}

/** The two digits at a place of a text that is known to have them. */
function pair(text: string, at: number): number {
  return (text.charCodeAt(at) - 48) * 10 + text.charCodeAt(at + 1) - 48
}

function rfc3339(text: string): number | null {
  if (text.length > 40) return null
  const match = RFC3339.exec(text)
  if (match === null) return null
  const [year, month, day] = [pair(text, 0) * 100 + pair(text, 2), pair(text, 5), pair(text, 8)]
  const [hour, minute, second] = [pair(text, 11), pair(text, 14), pair(text, 17)]
  if (year < 1970 || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59)
    return null
  const [, fraction, sign] = match
  const ms = fraction === undefined ? 0 : Number(fraction.slice(0, 3).padEnd(3, '0'))
  const utc = Date.UTC(year, month - 1, day, hour, minute, second, ms)
  // Date.UTC carries the 31st of a short month over into the next one.
  if (day > 28 && new Date(utc).getUTCMonth() !== month - 1) return null
  if (sign === undefined) return utc
  const [offsetHours, offsetMinutes] = [pair(text, text.length - 5), pair(text, text.length - 2)]
  if (offsetHours > 23 || offsetMinutes > 59) return null
  const offsetMs = (offsetHours * 60 + offsetMinutes) * 60_000
  return sign === '+' ? utc - offsetMs : utc + offsetMs
}

function numeric(value: number, unit: TimeUnit): number | null {
  if (!Number.isSafeInteger(value) || value < 0) return null
  if (unit === 's') return value * 1000
  if (unit === 'ms') return value
  if (unit === 'auto') return value < SECONDS_BELOW ? value * 1000 : value
  return null
}

/** Milliseconds since the epoch of a text or JSON number, or null where it is not written as `unit` says. */
export function readTime(value: unknown, unit: TimeUnit): number | null {
  if (typeof value === 'number') return numeric(value, unit)
  if (typeof value !== 'string') return null
  if (unit === 'rfc3339') return rfc3339(value)
  const number = digits(value)
  if (number !== null) return numeric(number, unit)
  return unit === 'auto' ? rfc3339(value) : null
}
