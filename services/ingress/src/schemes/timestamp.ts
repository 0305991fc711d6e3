/** Reading the times that senders sign. One text for one time: digits only, or RFC 3339. */

/**
 * - `s`, `ms`: digits since the epoch
 * - `rfc3339`: `2027-01-01T00:00:00Z`, with up to nine decimals and any offset
 * - `auto`: any of the three; numbers under 10^11 are seconds (until the year 5138)
 */
export type TimeUnit = 's' | 'ms' | 'rfc3339' | 'auto'

const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))$/
const SECONDS_BELOW = 1e11
const DIGITS_MAX = 15

function digits(text: string): number | null {
  if (text.length === 0 || text.length > DIGITS_MAX) return null
  let value = 0
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return null
    value = value * 10 + digit
  }
  return value
}

function rfc3339(text: string): number | null {
  if (text.length > 40) return null
  const match = RFC3339.exec(text)
  if (match === null) return null
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  if (hour > 23 || minute > 59 || second > 59) return null
  const ms = Number((match[7] ?? '').padEnd(3, '0').slice(0, 3))
  const utc = Date.UTC(year, month - 1, day, hour, minute, second, ms)
  // Date.UTC carries the 31st of a short month over into the next one.
  if (new Date(utc).getUTCMonth() !== month - 1 || day < 1) return null
  if (match[8] === undefined) return utc
  const [offsetHours, offsetMinutes] = [Number(match[9]), Number(match[10])]
  if (offsetHours > 23 || offsetMinutes > 59) return null
  const offsetMs = (offsetHours * 60 + offsetMinutes) * 60_000
  return match[8] === '+' ? utc - offsetMs : utc + offsetMs
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
