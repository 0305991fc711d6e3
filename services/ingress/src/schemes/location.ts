/**
 * Where a value stands in a request, as settings write it: `$.data.id` is a path into the JSON body,
 * `form:trigger_id` a field of a form body or, with GET, of the query, anything else the name of a header.
 */
import { SallyportError } from '@sallyport/core/errors'
import { ID_BYTES_MAX } from '@sallyport/core/event'

export type Location = string

export type CompiledLocation =
  | { readonly from: 'header'; readonly name: string }
  | { readonly from: 'form'; readonly field: string }
  | { readonly from: 'json'; readonly path: JsonPath }

export type JsonPath = readonly (string | number)[]

const STEP = /\.([A-Za-z0-9_-]+)|\[(\d{1,6})\]|\["([^"\\]{1,200})"\]|\['([^'\\]{1,200})'\]/y
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}$/
const STEPS_MAX = 32

/** `$.a[0]["b c"]` as steps, or null where the text is no such path. `$` alone is the whole body. */
export function parseJsonPath(text: string): JsonPath | null {
  if (!text.startsWith('$') || text.length > 1000) return null
  const steps: (string | number)[] = []
  STEP.lastIndex = 1
  while (STEP.lastIndex < text.length) {
    const match = STEP.exec(text)
    if (match === null || steps.length === STEPS_MAX) return null
    steps.push(match[2] === undefined ? (match[1] ?? match[3] ?? match[4] ?? '') : Number(match[2]))
  }
  return steps
}

/** A location of settings, ready for use; throws `SP_SETTINGS` naming the setting. */
export function compileLocation(text: Location, setting: string): CompiledLocation {
  if (typeof text === 'string' && text.startsWith('$')) {
    const path = parseJsonPath(text)
    if (path !== null) return { from: 'json', path }
  } else if (typeof text === 'string' && text.startsWith('form:') && text.length > 5) {
    return { from: 'form', field: text.slice(5) }
  } else if (typeof text === 'string' && HEADER_NAME.test(text)) {
    return { from: 'header', name: text.toLowerCase() }
  }
  throw new SallyportError(
    'SP_SETTINGS',
    `${setting} is ${JSON.stringify(text)}: write a path like $.data.id, form:field, or the name of a header`,
  )
}

/** Locations that are tried in order, each a list of places whose values are joined with `.`. */
export type CompiledLocations = readonly (readonly CompiledLocation[])[]

/** Locations of settings, ready for use; throws `SP_SETTINGS` naming the setting. */
export function compileLocations(
  locations: Location | readonly (Location | readonly Location[])[] | undefined,
  setting: string,
): CompiledLocations {
  if (locations === undefined) return []
  const list = typeof locations === 'string' ? [locations] : locations
  return list.map(item => {
    const places = typeof item === 'string' ? [item] : item
    return places.map(place => compileLocation(place, setting))
  })
}

/** What stands at a path of a parsed body, or undefined. Own properties only. */
export function atPath(value: unknown, path: JsonPath): unknown {
  let here = value
  for (const step of path) {
    if (typeof step === 'number') {
      if (!Array.isArray(here)) return undefined
      here = here[step]
    } else {
      if (typeof here !== 'object' || here === null || Array.isArray(here)) return undefined
      if (!Object.hasOwn(here, step)) return undefined
      here = (here as Record<string, unknown>)[step]
    }
  }
  return here
}

/** Longest id or type that is taken, UTF-16 units. */
const LABEL_MAX = 256
/** Longest id of several places, bytes of UTF-8: with its source's name before it, it still fits into a record key. */
export const JOINED_BYTES_MAX = ID_BYTES_MAX - 64

/**
 * A value as an id or a type: text or a whole number that JSON carries exactly; null otherwise. Text that is blank,
 * too long for a record key, or not well-formed Unicode is none: of a lone surrogate (JSON's `"\ud800"`) every
 * encoder makes the same replacement, and some readers refuse it.
 */
export function asLabel(value: unknown): string | null {
  const text = labelText(value)
  return text !== null && text.length <= LABEL_MAX ? text : null
}

/** `asLabel` without the bound of the length. */
export function labelText(value: unknown): string | null {
  if (typeof value === 'string') return isText(value) ? value : null
  return typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : null
}

/** Whether a text says something, and says it in every encoding. */
export function isText(value: string): boolean {
  return value.trim() !== '' && value.isWellFormed()
}

/**
 * Several parts as one id that no other parts give: joined with `.`, and a `.` or `%` within a part is written as `%2E`
 * or `%25`. Parts that hold neither stand as they are.
 */
export function joinParts(parts: readonly string[]): string {
  return parts.map(part => part.replaceAll('%', '%25').replaceAll('.', '%2E')).join('.')
}
