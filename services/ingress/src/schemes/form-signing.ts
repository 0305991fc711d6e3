import { createHmac } from 'node:crypto'
import { equalAscii } from './compare.ts'
import type { Effort } from './effort.ts'
import type { Form } from './form.ts'
import type { IndexedKey } from './keys.ts'
import { type Rejection, reject } from './rejections.ts'

/** Helpers of the senders that sign a URL and a form: Twilio, Mandrill and Plivo. */

/** The values of a form by name, names in the order of JavaScript's sort. */
export function sortedFields(form: Form): readonly (readonly [name: string, values: readonly string[]])[] {
  const byName = new Map<string, string[]>()
  for (const [name, value] of form) {
    const values = byName.get(name)
    if (values === undefined) byName.set(name, [value])
    else values.push(value)
  }
  return [...byName].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
}

/** A URL in its parts, with not a character changed; null where it has no scheme. */
export function splitUrl(
  url: string,
): { scheme: string; userInfo: string; host: string; port: string; rest: string } | null {
  const match = /^([a-z][a-z0-9+.-]*:\/\/)([^/?#]*)/i.exec(url)
  if (match === null) return null
  const [prefix, scheme, authority] = match as unknown as [string, string, string]
  const userInfoEnd = authority.lastIndexOf('@')
  const hostAndPort = authority.slice(userInfoEnd + 1)
  const portAt = hostAndPort.indexOf(':', hostAndPort.lastIndexOf(']') + 1)
  return {
    scheme,
    userInfo: authority.slice(0, userInfoEnd + 1),
    host: portAt === -1 ? hostAndPort : hostAndPort.slice(0, portAt),
    port: portAt === -1 ? '' : hostAndPort.slice(portAt),
    rest: url.slice(prefix.length),
  }
}

/** A signature that matched: with which secret, and over which text. */
export interface TextMatch {
  readonly secretIndex: number
  readonly text: string
}

/** A form that Twilio or Plivo signs is never longer: its fields are sorted and written anew before the proof. */
export const SIGNED_FORM_BYTES_MAX = 65_536

/** The first key and text that give one of the signatures (base64), or why there is none. */
export function matchText(
  hash: 'sha1' | 'sha256',
  keys: readonly IndexedKey[],
  texts: Iterable<string>,
  signatures: readonly string[],
  effort: Effort,
): TextMatch | Rejection {
  for (const text of texts) {
    for (const { key, secretIndex } of keys) {
      if (!effort.hash(hash, Buffer.byteLength(text))) return reject('too-much-work')
      const expected = createHmac(hash, key).update(text, 'utf8').digest('base64')
      for (const signature of signatures) if (equalAscii(signature, expected)) return { secretIndex, text }
    }
  }
  const isWritten = signatures.some(signature => SIGNATURE_BASE64.test(signature))
  return reject(isWritten ? 'wrong-signature' : 'malformed-signature')
}

/** How the signatures of these senders are written. */
export const SIGNATURE_BASE64 = /^[A-Za-z0-9+/]{27}=$|^[A-Za-z0-9+/]{43}=$/
