/** A value that a handler threw: the errors behind it, and what each calls itself. Untrusted: its getters may throw. */

/** How far a chain of causes is followed, and how many errors are looked at in all. */
const DEPTH_MAX = 5
const ERRORS_MAX = 20

/** The value, then what caused it: `cause`, and each of `errors` (`AggregateError`, retries that failed). Bounded. */
export function errorsIn(thrown: unknown): object[] {
  const found = new Set<object>()
  let level: unknown[] = [thrown]
  for (let depth = 0; depth < DEPTH_MAX; depth++) {
    const objects = level.filter(one => typeof one === 'object' && one !== null) as object[]
    for (const one of objects.slice(0, ERRORS_MAX - found.size)) found.add(one)
    level = objects.flatMap(causesOf).slice(0, ERRORS_MAX)
  }
  return [...found]
}

function causesOf(error: object): unknown[] {
  const errors = property(error, 'errors')
  const first = Array.isArray(errors)
    ? Array.from({ length: ERRORS_MAX }, (_, i) => property(errors, `${i}`))
    : []
  return [property(error, 'cause'), ...first]
}

/** Code, name, class and type of an error, and its HTTP statuses, as the clients of this world spell them. */
export function namesOf(error: object): string[] {
  const own = ['code', 'name', 'type'].map(name => property(error, name))
  const values = [...own, property(property(error, 'constructor'), 'name'), ...statusesOf(error)]
  return values.filter(isWord).map(String)
}

/** The HTTP statuses that an error names; `code` is one in Google's clients. */
export function statusesOf(error: object): number[] {
  const response = property(error, 'response')
  return [
    ...['status', 'statusCode', 'code'].map(name => property(error, name)),
    property(property(error, '$metadata'), 'httpStatusCode'),
    ...['status', 'statusCode'].map(name => property(response, name)),
  ].flatMap(value => (isWord(value) && /^[1-5]\d\d$/.test(String(value)) ? [Number(value)] : []))
}

function isWord(value: unknown): value is string | number {
  return typeof value === 'string' || typeof value === 'number'
}

/** A property of an untrusted value; undefined where there is none, or where its getter throws. */
export function property(value: unknown, name: string): unknown {
  try {
    return (value as Record<string, unknown> | null | undefined)?.[name]
  } catch {
    return undefined
  }
}
