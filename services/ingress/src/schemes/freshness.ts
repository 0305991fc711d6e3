import { durationMs, durationText } from '@sallyport/core/duration'
import { type Rejection, reject } from './rejections.ts'
import type { TimestampRule } from './scheme.ts'

/** How old and how far ahead a signed time may be, ms. `Infinity` for no bound. */
export interface Tolerance {
  readonly pastMs: number
  readonly futureMs: number
}

/** The bound of senders and sources that name none: 5 minutes. */
export const TOLERANCE_MS = 300_000

/** The tolerance of a rule; throws `SP_SETTINGS` naming the setting. */
export function compileTolerance(rule: Partial<TimestampRule>, setting: string): Tolerance {
  const pastMs =
    rule.tolerance === undefined
      ? TOLERANCE_MS
      : rule.tolerance === 'unbounded'
        ? Number.POSITIVE_INFINITY
        : durationMs(rule.tolerance, `${setting}.tolerance`)
  const futureMs =
    rule.future === undefined ? Math.min(pastMs, TOLERANCE_MS) : durationMs(rule.future, `${setting}.future`)
  return { pastMs, futureMs }
}

/** V5: null where a signed time is near enough to now. */
export function checkFreshness(sentAtMs: number, nowMs: number, tolerance: Tolerance): Rejection | null {
  const ageMs = nowMs - sentAtMs
  if (ageMs > tolerance.pastMs) {
    return reject(
      'stale-timestamp',
      `The signed time is ${durationText(ageMs)} old; the source takes up to ${durationText(tolerance.pastMs)}.`,
    )
  }
  if (-ageMs > tolerance.futureMs) {
    return reject(
      'future-timestamp',
      `The signed time is ${durationText(-ageMs)} ahead; the source takes up to ${durationText(tolerance.futureMs)}.`,
    )
  }
  return null
}
