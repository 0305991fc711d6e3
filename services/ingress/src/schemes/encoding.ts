/** Strict decoding of what senders write: one text for each value, no trailing junk, no other alphabet. */

const HEX = /^(?:[0-9a-f]{2})*$/
const HEX_ANY_CASE = /^(?:[0-9a-fA-F]{2})*$/
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
const BASE64URL = /^[A-Za-z0-9_-]*$/

export type TextEncoding = 'hex' | 'base64' | 'base64url'

/** The bytes of a text, or null where the text is not exactly what encoding those bytes gives. */
export function decodeStrict(text: string, encoding: TextEncoding): Buffer | null {
  const pattern = encoding === 'hex' ? HEX : encoding === 'base64' ? BASE64 : BASE64URL
  if (!pattern.test(text)) return null
  const bytes = Buffer.from(text, encoding)
  // Catches padding bits that are not zero: several texts would otherwise stand for one value.
  return bytes.toString(encoding) === text ? bytes : null
}

/** How the text of a secret becomes key bytes. */
export type SecretEncoding =
  /** The text itself. */
  | 'utf8'
  | 'hex'
  | 'base64'
  /** `whsec_` and base64; without the prefix the whole text is base64. Padding may be missing. */
  | 'whsec'
  /** `whsec_` and base64; without the prefix the text itself. */
  | 'whsec-or-utf8'
  /** Two keys: the text itself, and its base64 form where it has one. */
  | 'utf8-or-base64'
  /** The text in Unicode normalisation form KD. */
  | 'nfkd'

const WHSEC = 'whsec_'

function base64Secret(text: string): Buffer | null {
  const unpadded = text.replace(/=+$/, '')
  if (unpadded.length % 4 === 1 || !/^[A-Za-z0-9+/]+$/.test(unpadded)) return null
  return Buffer.from(unpadded, 'base64')
}

/** The key bytes of a secret's text: mostly one, never none; null where the text has another form. */
export function secretKeys(text: string, encoding: SecretEncoding): Buffer[] | null {
  switch (encoding) {
    case 'utf8':
      return [Buffer.from(text, 'utf8')]
    case 'nfkd':
      return [Buffer.from(text.normalize('NFKD'), 'utf8')]
    case 'hex':
      return HEX_ANY_CASE.test(text) && text !== '' ? [Buffer.from(text, 'hex')] : null
    case 'base64': {
      const bytes = base64Secret(text)
      return bytes === null ? null : [bytes]
    }
    case 'whsec': {
      const bytes = base64Secret(text.startsWith(WHSEC) ? text.slice(WHSEC.length) : text)
      return bytes === null ? null : [bytes]
    }
    case 'whsec-or-utf8':
      return text.startsWith(WHSEC) ? secretKeys(text, 'whsec') : [Buffer.from(text, 'utf8')]
    case 'utf8-or-base64': {
      const bytes = base64Secret(text.startsWith(WHSEC) ? text.slice(WHSEC.length) : text)
      const plain = Buffer.from(text, 'utf8')
      return bytes === null ? [plain] : [plain, bytes]
    }
  }
}
