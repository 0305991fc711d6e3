/** Reading `application/x-www-form-urlencoded` bodies and query strings without ever throwing. */

const FIELDS_MAX = 2000
const PERCENT = /%(?![0-9a-fA-F]{2})/

/** Fields in the order of arrival; names may repeat. */
export type Form = readonly (readonly [name: string, value: string])[]

function decode(text: string): string | null {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text
  if (!spaced.includes('%')) return spaced
  if (PERCENT.test(spaced)) return null
  try {
    return decodeURIComponent(spaced)
  } catch {
    return null
  }
}

/** The fields of a form, or null where it is not one: bad escapes, not UTF-8, or over 2,000 fields. */
export function parseForm(text: string): Form | null {
  if (text === '') return []
  const fields: (readonly [string, string])[] = []
  for (const pair of text.split('&', FIELDS_MAX + 1)) {
    if (pair === '') continue
    const at = pair.indexOf('=')
    const name = decode(at === -1 ? pair : pair.slice(0, at))
    const value = at === -1 ? '' : decode(pair.slice(at + 1))
    if (name === null || value === null || fields.length === FIELDS_MAX) return null
    fields.push([name, value])
  }
  return fields
}

/** The only value of a field; null where it is absent or repeated. */
export function onlyField(form: Form, name: string): string | null {
  let found: string | null = null
  for (const [field, value] of form) {
    if (field !== name) continue
    if (found !== null) return null
    found = value
  }
  return found
}

/** The query of a URL, without `?` and fragment, as written. */
export function queryOf(url: string): string {
  const hash = url.indexOf('#')
  const end = hash === -1 ? url.length : hash
  const start = url.indexOf('?')
  return start === -1 || start > end ? '' : url.slice(start + 1, end)
}
