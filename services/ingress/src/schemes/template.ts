import { SallyportError } from '@sallyport/core/errors'
import type { Reading } from './reading.ts'
import { type Rejection, reject } from './rejections.ts'

/** The signed text of a row, compiled: what stands before and after the body. */

type Placeholder = 'timestamp' | 'url' | 'method' | 'secret'

type Part =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'placeholder'; readonly name: Placeholder }
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
      // V4: the first character after the header's place must not occur in its value.
      parts.push({
        kind: 'header',
        name: header.toLowerCase(),
        forbidden: /^[^{}]/.exec(text.slice(at))?.[0] ?? null,
      })
    } else {
      parts.push({ kind: 'placeholder', name: kind as Placeholder })
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
      else if (part.name === 'url') text += reading.url
      else text += part.name === 'method' ? reading.request.method : secret
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
