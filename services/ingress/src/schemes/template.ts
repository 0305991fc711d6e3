import { SallyportError } from '@sallyport/core/errors'
import { queryOf } from './form.ts'
import type { Reading } from './reading.ts'
import { type Rejection, reject } from './rejections.ts'

/** The signed text of a row, compiled: what stands before and after the body. */

type Placeholder = 'timestamp' | 'url' | 'method' | 'secret'

export type Part =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'placeholder'; readonly name: Placeholder; readonly forbidden: string | null }
  /** `forbidden`: the character that ends the value, which it must not hold (V4); null where nothing ends it. */
  | { readonly kind: 'header'; readonly name: string; readonly forbidden: string | null }

export interface Template {
  readonly before: readonly Part[]
  readonly after: readonly Part[]
  /** Whether the body is part of the signed text. */
  readonly body: boolean
  /** Lower-case names of the headers that the text holds. */
  readonly headers: ReadonlySet<string>
  readonly timestamp: boolean
  readonly url: boolean
  readonly method: boolean
  readonly secret: boolean
}

const PLACEHOLDER = /\{(body|timestamp|url|method|secret|header:([A-Za-z0-9-]{1,200}))\}|\{|\}/g

/** A template of settings or of a preset, ready for use; throws `SP_SETTINGS`. */
export function compileTemplate(text: string, setting: string): Template {
  const before: Part[] = []
  const after: Part[] = []
  const headers = new Set<string>()
  let [parts, body, at] = [before, false, 0]
  for (const match of text.matchAll(PLACEHOLDER)) {
    if (match.index > at) parts.push({ kind: 'literal', text: text.slice(at, match.index) })
    at = match.index + match[0].length
    const [, kind, header] = match
    if (kind === undefined || (kind === 'body' && body)) {
      throw new SallyportError(
        'SP_SETTINGS',
        `${setting} is ${JSON.stringify(text)}: use {body} once, {timestamp}, {header:name}, {url}, {method} and plain text without braces`,
      )
    }
    if (kind === 'body') {
      body = true
      parts = after
    } else if (header !== undefined) {
      headers.add(header.toLowerCase())
      const [left, right] = [text.slice(0, match.index), text.slice(at)]
      parts.push({ kind: 'header', name: header.toLowerCase(), forbidden: endOf(left, right, body) })
    } else {
      const forbidden = kind === 'url' && !body ? literalEnd(text.slice(at)) : null
      parts.push({ kind: 'placeholder', name: kind as Placeholder, forbidden })
    }
  }
  if (at < text.length) parts.push({ kind: 'literal', text: text.slice(at) })
  const all = [...before, ...after]
  const has = (name: Placeholder) => all.some(part => part.kind === 'placeholder' && part.name === name)
  return {
    before,
    after,
    body,
    headers,
    timestamp: has('timestamp'),
    url: has('url'),
    method: has('method'),
    secret: has('secret'),
  }
}

/** The next character of a literal that follows; null where a placeholder does. */
function literalEnd(right: string): string | null {
  return /^[^{}]/.exec(right)?.[0] ?? null
}

/**
 * V4: before the body a value is ended by the literal or the RFC 3339 time that follows, whose first colon has a known
 * place; after the body, which is read from the right, by the literal before it.
 */
function endOf(left: string, right: string, isAfter: boolean): string | null {
  if (isAfter) return /[^{}]$/.exec(left)?.[0] ?? null
  return right.startsWith('{timestamp}') ? ':' : literalEnd(right)
}

/** The text of one side of the body, or why it cannot be told. */
export function renderSide(
  parts: readonly Part[],
  reading: Reading,
  timestamp: string,
  secret: string,
): string | Rejection {
  let text = ''
  for (const part of parts) {
    if (part.kind === 'literal') text += part.text
    else if (part.kind === 'placeholder') {
      if (part.name === 'timestamp') text += timestamp
      else if (part.name === 'url') {
        if (part.forbidden !== null && !reading.urlIsFixed && queryOf(reading.url).includes(part.forbidden))
          return reject('ambiguous-text', `The URL's query holds "${part.forbidden}".`)
        text += reading.url
      } else text += part.name === 'method' ? reading.request.method : secret
    } else {
      const value = reading.headers.only(part.name)
      if (value === null) return reject('duplicate-header', `The header ${part.name} came more than once.`)
      if (value === undefined || value === '')
        return reject('missing-id', `The header ${part.name} is absent or empty.`)
      if (part.forbidden !== null && value.includes(part.forbidden)) {
        return reject('ambiguous-text', `The header ${part.name} holds "${part.forbidden}".`)
      }
      text += value
    }
  }
  return text
}
