import ms from 'ms'
import { SallyportError } from './errors.ts'

/** A duration as people write it in settings: `500ms`, `5s`, `5m`, `24h`, `7d`. */
export type DurationText = string

const FORM = /^\d+(\.\d+)?(ms|s|m|h|d)$/

/** Milliseconds of a duration text; throws `SP_SETTINGS` naming the setting when the text has another form. */
export function durationMs(text: DurationText, setting: string): number {
  if (typeof text !== 'string' || !FORM.test(text)) {
    throw new SallyportError(
      'SP_SETTINGS',
      `${setting} is ${JSON.stringify(text)}, which is no duration: write a number and a unit, like 500ms, 5s, 5m, 24h or 7d`,
    )
  }
  return Math.round(ms(text as ms.StringValue))
}

/** The shortest and the longest that a setting may be. */
export type DurationLimits = readonly [min: DurationText, max: DurationText]

/** Milliseconds of a duration text; throws `SP_SETTINGS` also where it is beyond the limits. */
export function durationWithin(text: DurationText, setting: string, [min, max]: DurationLimits): number {
  const value = durationMs(text, setting)
  if (value >= durationMs(min, setting) && value <= durationMs(max, setting)) return value
  throw new SallyportError('SP_SETTINGS', `${setting} is ${text}: set it from ${min} to ${max}`)
}

/** The shortest text for a duration: 5000 → `5s`. */
export function durationText(durationMs: number): string {
  return ms(durationMs)
}
