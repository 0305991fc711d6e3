/**
 * Signed URLs whose query is a stranger's to choose: where a source sets no `url`, path and host are known, and the
 * query is whatever came. Next to the body the text can be cut in one way only
 *
 * - after `{url}`: without a query; or with one made of the characters of a query (RFC 3986, 3.4), before an object or
 *   list of JSON, which begins with none of them
 * - before `{url}`: where the URL's "://" is the only one in the text's last run of characters of a URL
 */
import type { Reading } from './reading.ts'
import type { Template } from './template.ts'

/** Whether bytes of the signed text could stand in the body as well as in the URL. `between`: the text between body and URL. */
export function urlCouldShift({ before, after }: Template, reading: Reading, between: string): boolean {
  if (reading.urlIsFixed) return false
  const last = before.at(-1)
  if (last?.kind === 'placeholder' && last.name === 'url') return shiftsForward(reading)
  const isAfter = after.some(part => part.kind === 'placeholder' && part.name === 'url')
  return isAfter && shiftsBackward(reading.url, reading.request.body, between)
}

/** `{url}{body}`: where the query ends, the body begins. */
function shiftsForward({ url, jsonOnly, request: { body } }: Reading): boolean {
  const at = url.indexOf('?')
  const [first] = body
  if (at === -1) return first === QUESTION_MARK
  if (!jsonOnly || (first !== undefined && first !== BRACE && first !== BRACKET)) return true
  for (let i = at + 1; i < url.length; i++) if (!IN_QUERY.has(url.charCodeAt(i))) return true
  return false
}

/** `{body}{url}`: the URL begins where the only "://" of the text's last run of URL characters says. */
function shiftsBackward(url: string, body: Buffer, between: string): boolean {
  for (let i = 0; i < url.length; i++) if (!IN_URL.has(url.charCodeAt(i))) return true
  const before = Buffer.concat([body, Buffer.from(between)])
  let start = before.length
  while (start > 0 && IN_URL.has(before[start - 1] as number)) start--
  const run = before.toString('latin1', start) + url
  return run.indexOf('://') !== run.lastIndexOf('://')
}

const QUESTION_MARK = 0x3f
const BRACKET = 0x5b
const BRACE = 0x7b
const IN_QUERY = codesOf("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/?%")
/** With the brackets of an IPv6 host. */
const IN_URL = new Set([...IN_QUERY, ...codesOf('[]')])

function codesOf(characters: string): ReadonlySet<number> {
  return new Set([...characters].map(character => character.charCodeAt(0)))
}
