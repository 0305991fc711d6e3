/**
 * Plivo V3: base64 HMAC-SHA256 of the URL with its query sorted, the sorted form fields and a nonce.
 * Facts: plivo 4.79.0 utils/v3Security. The nonce is not part of the identity: a retry has a new one.
 */
import type { SchemeContext } from './context.ts'
import { type Form, parseForm, queryOf } from './form.ts'
import { matchText, SIGNED_FORM_BYTES_MAX, sortedFields, splitUrl } from './form-signing.ts'
import type { Reading } from './reading.ts'
import { type Rejection, reject } from './rejections.ts'
import { coversNothing, type Outcome, URL_AND_ADDED_QUERY, type Verifier } from './verifier.ts'

const LISTED_MAX = 10
const SIGNATURES = ['x-plivo-signature-v3', 'x-plivo-signature-ma-v3']

export function plivo(context: SchemeContext): Verifier {
  const keys = context.keys()
  return {
    proof: SIGNATURES,
    requestLine: URL_AND_ADDED_QUERY,
    authenticate(reading): Outcome {
      const signatures = readSignatures(reading)
      if (!Array.isArray(signatures)) return signatures as Rejection
      const nonce = reading.headers.only('x-plivo-signature-v3-nonce')
      if (nonce === null) return reject('duplicate-header')
      if (nonce === undefined || nonce === '')
        return reject('missing-id', 'The nonce header is absent or empty.')
      // V4: the last dot ends the signed fields.
      if (nonce.includes('.')) return reject('ambiguous-text', 'The nonce holds ".".')
      const text = signedText(reading)
      if (typeof text !== 'string') return text
      const match = matchText('sha256', keys, [`${text}.${nonce}`], signatures, reading.effort)
      if ('kind' in match) return match
      const { secretIndex } = match
      return { kind: 'authentic', secretIndex, sentAt: null, signedParts: [text], covers: coversNothing }
    },
  }
}

/** Sub-account and main account sign each for itself; either may be the one whose token the source holds. */
function readSignatures(reading: Reading): string[] | Rejection {
  const found: string[] = []
  for (const name of SIGNATURES) {
    const value = reading.headers.only(name)
    if (value === null) return reject('duplicate-signature')
    if (value !== undefined && value !== '') found.push(...value.split(',', LISTED_MAX + 1))
  }
  if (found.length > LISTED_MAX * 2) return reject('malformed-signature')
  return found.length === 0 ? reject('missing-signature') : found
}

function signedText(reading: Reading): string | Rejection {
  const { method, body } = reading.request
  const url = reading.urlWithQuery
  const parts = splitUrl(url)
  const query = parseForm(queryOf(url))
  if (parts === null || query === null) return reject('malformed-body', 'The URL cannot be read.')
  const path = /^[^?#]*/.exec(parts.rest)?.[0] ?? ''
  const base = parts.scheme + parts.userInfo + parts.host + parts.port + path
  if (body.length > 0 && reading.mediaType() !== 'application/x-www-form-urlencoded')
    return reject('body-not-bound')
  if (body.length > SIGNED_FORM_BYTES_MAX) return reject('too-much-work')
  const form = reading.form()
  if (form === null) return reject('malformed-body')
  if (method === 'GET') return queryText(base, [...query, ...form], false)
  return queryText(base, query, form.length > 0) + fieldsText(form)
}

/** `base`, `base?query`, `base?` before fields without query, `base?query.` before fields. */
function queryText(base: string, query: Form, fieldsFollow: boolean): string {
  const sorted = sortedFields(query).flatMap(([name, values]) =>
    [...values].sort().map(value => `${name}=${value}`),
  )
  const text = sorted.length > 0 || fieldsFollow ? `${base}?${sorted.join('&')}` : base
  return sorted.length > 0 && fieldsFollow ? `${text}.` : text
}

function fieldsText(form: Form): string {
  return sortedFields(form)
    .flatMap(([name, values]) => [...values].sort().map(value => name + value))
    .join('')
}
