/**
 * Reading `application/x-www-form-urlencoded` bodies and query strings without ever throwing. Nothing is proven yet
 * when a form is read, so one pass over its bytes decodes it, and it has few fields.
 */
import { isUtf8 } from 'node:buffer'

/** Senders that sign forms send some dozens. */
export const FIELDS_MAX = 512
const NAME_BYTES_MAX = 1_024

const AMPERSAND = 0x26
const PERCENT = 0x25
const PLUS = 0x2b
const EQUALS = 0x3d

/** Fields in the order of arrival; names may repeat. */
export type Form = readonly (readonly [name: string, value: string])[]

/** A field whose value is still bytes. */
export interface FieldBytes {
  readonly name: string
  readonly value: Buffer
}

const HEX = new Int8Array(256).fill(-1)
for (const digits of ['0123456789abcdef', '0123456789ABCDEF']) {
  for (let value = 0; value < digits.length; value++) HEX[digits.charCodeAt(value)] = value
}

/** The fields of a form, or null where it is not one: bad escapes, not UTF-8, long names, over `FIELDS_MAX` fields. */
export function parseFields(body: Buffer): readonly FieldBytes[] | null {
  if (!isUtf8(body)) return null
  const form = body.includes(PLUS) ? withBlanks(body) : body
  const fields: FieldBytes[] = []
  for (let at = 0; at < form.length; ) {
    const ampersand = form.indexOf(AMPERSAND, at)
    const end = ampersand === -1 ? form.length : ampersand
    if (end > at) {
      if (fields.length === FIELDS_MAX) return null
      const equals = form.subarray(at, end).indexOf(EQUALS)
      const nameEnd = equals === -1 ? end : at + equals
      const name = nameEnd - at > NAME_BYTES_MAX ? null : decode(form.subarray(at, nameEnd))
      const value = name === null ? null : decode(form.subarray(Math.min(nameEnd + 1, end), end))
      if (name === null || value === null) return null
      fields.push({ name: name.toString('utf8'), value })
    }
    at = end + 1
  }
  return fields
}

/** The same with a blank for each `+`, four bytes at a time. */
function withBlanks(body: Buffer): Buffer {
  const bytes = Buffer.alloc(4 * Math.ceil(body.length / 4))
  bytes.set(body)
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as number
    // Each byte that was `+` is 0 in `apart`, and 0x80 in `plus`; a blank differs from it in 0x0b.
    const apart = word ^ 0x2b2b2b2b
    const plus = ~(((apart & 0x7f7f7f7f) + 0x7f7f7f7f) | apart | 0x7f7f7f7f)
    if (plus !== 0) words[i] = word ^ Math.imul(plus >>> 7, 0x0b)
  }
  return bytes.subarray(0, body.length)
}

/** The bytes of a name or value; null where an escape is broken, or they are not UTF-8. */
function decode(piece: Buffer): Buffer | null {
  if (!piece.includes(PERCENT)) return piece
  const bytes = Buffer.allocUnsafe(piece.length)
  const length = unescapeInto(
    new Uint8Array(piece.buffer, piece.byteOffset, piece.length),
    new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length),
  )
  const decoded = bytes.subarray(0, Math.max(0, length))
  return length === -1 || !isUtf8(decoded) ? null : decoded
}

/** How many bytes were written, or -1. A function of its own, small enough to be compiled well. */
function unescapeInto(from: Uint8Array, to: Uint8Array): number {
  const length = from.length
  let [read, write] = [0, 0]
  while (read < length) {
    let byte = from[read++] as number
    if (byte === PERCENT) {
      if (read + 2 > length) return -1
      byte = ((HEX[from[read] as number] as number) << 4) | (HEX[from[read + 1] as number] as number)
      if (byte < 0) return -1
      read += 2
    }
    to[write++] = byte
  }
  return write
}

/** The fields of a form as texts, or null where it is not one: see `parseFields`. */
export function parseForm(text: string): Form | null {
  return formOf(parseFields(Buffer.from(text, 'utf8')))
}

/** The fields of a form as texts. */
export function formOf(fields: readonly FieldBytes[] | null): Form | null {
  return fields?.map(({ name, value }) => [name, value.toString('utf8')] as const) ?? null
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

/** The only value of a field as bytes; null where it is absent or repeated. */
export function onlyValue(fields: readonly FieldBytes[], name: string): Buffer | null {
  const found = fields.filter(field => field.name === name)
  return found.length === 1 ? (found[0]?.value ?? null) : null
}

/** The query of a URL, without `?` and fragment, as written. */
export function queryOf(url: string): string {
  const hash = url.indexOf('#')
  const end = hash === -1 ? url.length : hash
  const start = url.indexOf('?')
  return start === -1 || start > end ? '' : url.slice(start + 1, end)
}
