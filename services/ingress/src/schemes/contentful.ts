/**
 * Contentful: hex HMAC-SHA256 of method, path, the headers that the request lists, and body, joined with line ends.
 * Facts: @contentful/node-apps-toolkit 3.16.1 requests.
 */
import { createHmac } from 'node:crypto'
import querystring from 'node:querystring'
import type { HeaderList } from '../delivery.ts'
import { equalAscii } from './compare.ts'
import type { SchemeContext } from './context.ts'
import { splitUrl } from './form-signing.ts'
import { checkFreshness } from './freshness.ts'
import { isText } from './location.ts'
import type { Reading } from './reading.ts'
import { type Rejection, reject } from './rejections.ts'
import { readTime } from './timestamp.ts'
import { bodyParts, coversBody, type Outcome, targetOf, type Verifier } from './verifier.ts'

const LISTED_MAX = 64
const COVERS = { url: true, method: true }
const TIMESTAMP = 'x-contentful-timestamp'
const SIGNED_HEADERS = 'x-contentful-signed-headers'
const IDEMPOTENCY_KEY = 'x-contentful-idempotency-key'

export function contentful(context: SchemeContext): Verifier {
  const keys = context.keys()
  // The sender's library refuses what is 30 s old to the millisecond.
  const tolerance = context.tolerance({ tolerance: '29999ms' })
  return {
    proof: ['x-contentful-signature'],
    requestLine: COVERS,
    authenticate(reading): Outcome {
      const { headers } = reading
      const signature = headers.only('x-contentful-signature')
      if (signature === null) return reject('duplicate-signature')
      if (signature === undefined || signature === '') return reject('missing-signature')
      const time = headers.only(TIMESTAMP)
      if (time === null) return reject('duplicate-header')
      if (time === undefined || time === '') return reject('missing-timestamp')
      const sentAt = readTime(time, 'ms')
      if (sentAt === null) return reject('malformed-timestamp')
      const canonical = canonicalHeaders(reading)
      if ('kind' in canonical) return canonical
      const path = canonicalPath(reading.url)
      if (path === null) return reject('malformed-body', 'The URL cannot be read.')
      const before = `${reading.request.method}\n${path}\n${canonical.text}\n`
      for (const { key, secretIndex } of keys) {
        if (!reading.effort.hash('sha256', before.length + reading.request.body.length))
          return reject('too-much-work')
        const mac = createHmac('sha256', key).update(before).update(reading.request.body).digest('hex')
        if (!equalAscii(signature, mac)) continue
        const late = checkFreshness(sentAt, reading.nowMs, tolerance)
        if (late !== null) return late
        if (canonical.id !== null) {
          return { kind: 'authentic', secretIndex, sentAt, signedParts: [canonical.id], covers: coversBody }
        }
        const signedTarget = targetOf(reading, COVERS)
        const signedParts = bodyParts(reading.request.body, signedTarget === '' ? before : '')
        return { kind: 'authentic', secretIndex, sentAt, signedParts, signedTarget, covers: coversBody }
      }
      return reject(/^[0-9a-f]{64}$/.test(signature) ? 'wrong-signature' : 'malformed-signature')
    },
  }
}

/**
 * The listed headers as `name:value`, sorted and joined with `;`, and the idempotency key where it is listed. The
 * list stands in the text as the sorted names that are there, as the sender's library writes it.
 */
function canonicalHeaders(reading: Reading): { text: string; id: string | null } | Rejection {
  const list = reading.headers.only(SIGNED_HEADERS)
  if (list === null) return reject('duplicate-header')
  const names = [...new Set((list ?? '').split(',', LISTED_MAX + 1))].map(name => name.trim().toLowerCase())
  if (names.length > LISTED_MAX || !names.includes(TIMESTAMP) || !names.includes(SIGNED_HEADERS)) {
    return reject('malformed-signature', 'The list of signed headers does not name the time and itself.')
  }
  const given = onlyValues(reading.headers)
  const values = new Map<string, string>()
  for (const name of names.sort()) {
    const value = given.get(name)
    if (value === null) return reject('duplicate-header')
    if (value === undefined) continue
    // V4: within a value this would be the next header.
    if (/;[!#$%&'*+.^_`|~0-9a-z-]+:/.test(value))
      return reject('ambiguous-text', `The header ${name} holds ";name:".`)
    values.set(name, value.trim())
  }
  values.set(SIGNED_HEADERS, [...values.keys()].join(','))
  const pairs = [...values].map(([name, value]) => `${name}:${value}`)
  const id = values.get(IDEMPOTENCY_KEY) ?? ''
  return { text: pairs.join(';'), id: isText(id) ? id : null }
}

/** The headers by name, null where one came more than once: read once, however many the list names. */
function onlyValues(headers: HeaderList): ReadonlyMap<string, string | null> {
  const values = new Map<string, string | null>()
  for (const [raw, value] of headers) {
    const name = raw.toLowerCase()
    values.set(name, values.has(name) ? null : value)
  }
  return values
}

/**
 * The path, and the query escaped as a whole, as the sender's library writes them; null where nothing signs a part of
 * them: the library drops what follows a second question mark.
 */
function canonicalPath(url: string): string | null {
  const rest = splitUrl(url)?.rest ?? url
  const [path, search, unsigned] = rest.split('?', 3) as [string, string | undefined, string | undefined]
  if (unsigned !== undefined) return null
  const escaped = search === undefined || search === '' ? path : `${path}?${querystring.escape(search)}`
  try {
    return encodeURI(escaped === '' ? '/' : escaped)
  } catch {
    return null
  }
}
