/**
 * Whether a signed text can be cut in one way only (V4): bytes that can wander between body, headers, time and URL make
 * another delivery of the same signature. What comes before the body is read from the left, what comes after it from
 * the right; each value must show its own end there.
 *
 *   literal, method, secret   constant, or none is the beginning or end of another
 *   time                      RFC 3339 shows both its ends; digits are ended by a literal or have one length
 *   header                    ended by a literal whose next character it does not hold, or by the colons of RFC 3339
 *   URL                       constant where the source sets `url`; else only its query is open: see `open-url.ts`
 */
import type { Part, Template } from './template.ts'
import type { TimeUnit } from './timestamp.ts'

/** What is ambiguous about a template, in words that follow "is ambiguous:"; null where nothing is. */
export function ambiguityOf(
  { before, after }: Template,
  unit: TimeUnit | null,
  urlIsFixed: boolean,
): string | null {
  for (const [side, isBefore] of [
    [before, true],
    [after, false],
  ] as const) {
    for (const [at, part] of side.entries()) {
      const neighbour = side[isBefore ? at + 1 : at - 1]
      const words = partWords(part, neighbour, isBefore, unit, urlIsFixed)
      if (words !== null) return words
    }
  }
  return null
}

function partWords(
  part: Part,
  neighbour: Part | undefined,
  isBefore: boolean,
  unit: TimeUnit | null,
  urlIsFixed: boolean,
): string | null {
  const edge = edgeOf(neighbour, isBefore)
  if (part.kind === 'header') {
    const isEnded =
      edge !== null || (isBefore && neighbour !== undefined && isTime(neighbour) && unit === 'rfc3339')
    return isEnded ? null : headerWords(part.name, isBefore)
  }
  if (isTime(part) && unit === 'auto') return autoTimeWords(edge, isBefore)
  if (part.kind !== 'placeholder' || part.name !== 'url' || urlIsFixed || !isBefore) return null
  if (edge === '?') return '{url} is followed by "?", with which a query begins: set url'
  return edge === null && neighbour !== undefined
    ? '{url} needs a literal or {body} after it: set url, or write one'
    : null
}

/** How many digits a time must have, because nothing else shows where it ends; null where something does. */
export function timeDigitsOf({ before, after }: Template, unit: TimeUnit | null): number | null {
  const isOpen = [before, after].some((side, isAfter) =>
    side.some(
      (part, at) => isTime(part) && !isNoDigit(edgeOf(side[isAfter === 1 ? at - 1 : at + 1], isAfter === 0)),
    ),
  )
  return !isOpen || unit === null ? null : (DIGITS[unit] ?? null)
}

/** Until the year 2286 these are the lengths of every time that is near enough to now. */
const DIGITS: Partial<Record<TimeUnit, number>> = { s: 10, ms: 13 }

/** The character that ends a value on its open side, or null where no literal does. */
function edgeOf(neighbour: Part | undefined, isBefore: boolean): string | null {
  if (neighbour?.kind !== 'literal') return null
  return (isBefore ? neighbour.text.at(0) : neighbour.text.at(-1)) ?? null
}

function isTime(part: Part): boolean {
  return part.kind === 'placeholder' && part.name === 'timestamp'
}

function isNoDigit(edge: string | null): boolean {
  return edge !== null && !/\d/.test(edge)
}

function headerWords(name: string, isBefore: boolean): string {
  return isBefore
    ? `{header:${name}} needs a literal after it, as in {header:${name}}.{body}`
    : `{header:${name}} needs a literal before it, as in {body}.{header:${name}}`
}

/** Digits and RFC 3339 side by side: told apart only where the literal can stand in neither at that place. */
function autoTimeWords(edge: string | null, isBefore: boolean): string | null {
  const taken = isBefore ? '-' : ':'
  if (isNoDigit(edge) && edge !== taken) return null
  return `{timestamp} needs a literal ${isBefore ? 'after' : 'before'} it that is no digit and no "${taken}", or timestamp.unit`
}
