/**
 * Finding single values in a JSON text without building it. `JSON.parse` of a hostile megabyte takes a hundred
 * milliseconds (depth, members), which nobody gets without a proof; a walk over its bytes takes one, and ends after
 * `TOKENS_MAX` tokens. It does not judge whether the whole is JSON: whoever accepts a delivery parses it afterwards
 * and compares.
 */

import { readText } from './json-text.ts'

/** Far more than stands around the proof of any sender whose proof is in the body. */
export const TOKENS_MAX = 4_096
/** What is said of a longer text. */
export const TOO_MANY_TOKENS = `The body has over ${TOKENS_MAX} JSON tokens, and its proof was not found among them.`
/** No number that a sender writes is longer. */
const SCALAR_BYTES_MAX = 1_024
/** No name that a sender uses is longer. */
const NAME_BYTES_MAX = 64

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_LIST = 0x5b
const ESCAPE = 0x5c
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** Where a value stands: names of members and positions in lists. */
export type WalkPath = readonly (string | number)[]

/** A text, number or literal on the way. */
export interface Leaf {
  /** Its length in the text, quotes and escapes included. */
  readonly bytes: number
  /** Whether it is a text. */
  readonly isText: boolean
  /** Its value; undefined where it is no JSON. */
  read(): unknown
  /** A text as UTF-8; null where it is none. */
  readBytes(): Buffer | null
}

/**
 * - `end`: the whole text was seen
 * - `stopped`: the visitor had what it wanted
 * - `malformed`: this is no JSON
 * - `too-long`: there are more tokens than `TOKENS_MAX`
 */
export type WalkEnd = 'end' | 'stopped' | 'malformed' | 'too-long'

/** Visits every leaf until `visit` returns true. `path` is only good during the visit. Never throws by itself. */
export function walkJson(body: Buffer, visit: (path: WalkPath, leaf: Leaf) => boolean): WalkEnd {
  const bytes = new Uint8Array(body.buffer, body.byteOffset, body.length)
  const path: (string | number)[] = []
  let isName = false
  let at = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
  for (let tokens = 0; ; tokens++) {
    at = blanksEnd(bytes, at)
    if (at >= bytes.length) return path.length === 0 && tokens > 0 ? 'end' : 'malformed'
    if (tokens === TOKENS_MAX) return 'too-long'
    const byte = bytes[at] as number
    const last = path.length - 1
    if (byte === OPEN_OBJECT || byte === OPEN_LIST) {
      isName = byte === OPEN_OBJECT
      path.push(isName ? '' : 0)
      at++
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) {
      if (last < 0) return 'malformed'
      path.pop()
      isName = false
      at++
    } else if (byte === COMMA) {
      if (last < 0) return 'malformed'
      const here = path[last]
      if (typeof here === 'number') path[last] = here + 1
      else isName = true
      at++
    } else if (byte === COLON) {
      isName = false
      at++
    } else {
      const end = byte === QUOTE ? textEnd(bytes, at) : scalarEnd(bytes, at)
      if (end === -1) return 'malformed'
      const start = at
      at = end
      if (isName) path[last] = nameAt(body, start, end)
      else {
        if (visit(path, leafAt(body, start, end))) return 'stopped'
      }
    }
  }
}

/** A member's name. What is not ASCII may come out as another name, but as none that a sender uses. */
function nameAt(body: Buffer, start: number, end: number): string {
  if (end - start > NAME_BYTES_MAX) return ''
  const name = body.toString('latin1', start + 1, end - 1)
  return name.includes('\\') ? String(parse(body, start, end)) : name
}

function leafAt(body: Buffer, start: number, end: number): Leaf {
  const isText = body[start] === QUOTE
  const readBytes = () => (isText ? readText(body, start + 1, end - 1) : null)
  return {
    bytes: end - start,
    isText,
    readBytes,
    read: () => (isText ? readBytes()?.toString('utf8') : parse(body, start, end)),
  }
}

function parse(body: Buffer, start: number, end: number): unknown {
  try {
    return JSON.parse(body.toString('utf8', start, end))
  } catch {
    return undefined
  }
}

function blanksEnd(bytes: Uint8Array, from: number): number {
  const length = bytes.length
  let at = from
  while (at < length) {
    const byte = bytes[at] as number
    if (byte > 0x20) return at
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at
    at++
  }
  return at
}

/** Behind the closing quote; -1 where there is none. */
function textEnd(bytes: Uint8Array, from: number): number {
  const length = bytes.length
  let at = from + 1
  while (at < length) {
    const byte = bytes[at]
    if (byte === QUOTE) return at + 1
    at += byte === ESCAPE ? 2 : 1
  }
  return -1
}

/** Behind a number or literal. */
function scalarEnd(bytes: Uint8Array, from: number): number {
  let at = from
  const end = Math.min(bytes.length, from + SCALAR_BYTES_MAX)
  while (at < end && isScalar(bytes[at] as number)) at++
  return at === from || at === from + SCALAR_BYTES_MAX ? -1 : at
}

function isScalar(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    byte === 0x2b ||
    byte === 0x2d ||
    byte === 0x2e ||
    byte === 0x45
  )
}
