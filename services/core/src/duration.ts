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

/** The shortest text for a duration: 5000 → `5s`. */
export function durationText(durationMs: number): string {
  return ms(durationMs)
}
