/**
 * Twilio: base64 HMAC of the public URL and the sorted form fields, or, for JSON, of a URL whose query carries
 * `bodySHA256`. SHA-1 with the auth token, or SHA-256 with a shared key where the settings header says so.
 * Facts: twilio 6.2.0 lib/webhooks/webhooks.js; twilio 9.13.0 (PyPI) request_validator.py.
 */
import { createHash } from 'node:crypto'
import { parse, stringify } from 'node:querystring'
import { equalAscii } from './compare.ts'
import type { SchemeContext } from './context.ts'
import { parseForm, queryOf } from './form.ts'
import { matchText, SIGNED_FORM_BYTES_MAX, sortedFields, splitUrl } from './form-signing.ts'
import type { Reading } from './reading.ts'
import { type Rejection, reject } from './rejections.ts'
import { coversNothing, type Outcome, URL_AND_ADDED_QUERY, type Verifier } from './verifier.ts'

/** Twilio signs no longer URL; a longer one is not written in other ways. */
const URL_MAX = 4_096

export function twilio(context: SchemeContext): Verifier {
  const keys = context.keys()
  return {
    proof: ['x-twilio-signature'],
    requestLine: URL_AND_ADDED_QUERY,
    authenticate(reading): Outcome {
      const signature = reading.headers.only('x-twilio-signature')
      if (signature === null) return reject('duplicate-signature')
      if (signature === undefined || signature === '') return reject('missing-signature')
      const hash = hashOf(reading)
      if (typeof hash !== 'string') return hash
      const fields = signedFields(reading)
      if (typeof fields !== 'string') return fields
      const match = matchText(hash, keys, texts(reading.urlWithQuery, fields), [signature], reading.effort)
      if ('kind' in match) return match
      const unbound = checkBodyHash(reading)
      if (unbound !== null) return unbound
      const { secretIndex, text } = match
      return { kind: 'authentic', secretIndex, sentAt: null, signedParts: [text], covers: coversNothing }
    },
  }
}

function hashOf(reading: Reading): 'sha1' | 'sha256' | Rejection {
  const settings = reading.headers.only('x-twilio-webhooks-signature-settings')
  if (settings === undefined) return 'sha1'
  if (settings === null) return reject('duplicate-header')
  const algorithms = settings.split(',').filter(item => item.trim().startsWith('algorithm='))
  if (algorithms.length !== 1) return reject('wrong-algorithm')
  const algorithm = (algorithms[0] as string).trim().slice('algorithm='.length)
  if (algorithm === 'HMAC_SHA256') return 'sha256'
  return algorithm === 'HMAC_SHA1' ? 'sha1' : reject('wrong-algorithm')
}

function bodyHash(reading: Reading): string | null {
  return reading.queryField('bodySHA256')
}

/** The sorted names and values, each value once; empty where the URL vouches for the body. */
function signedFields(reading: Reading): string | Rejection {
  if (bodyHash(reading) !== null || reading.request.body.length === 0) return ''
  if (reading.mediaType() !== 'application/x-www-form-urlencoded') return reject('body-not-bound')
  if (reading.request.body.length > SIGNED_FORM_BYTES_MAX) return reject('too-much-work')
  const form = reading.form()
  if (form === null) return reject('malformed-body')
  return sortedFields(form)
    .map(([name, values]) =>
      [...new Set(values)]
        .sort()
        .map(value => name + value)
        .join(''),
    )
    .join('')
}

function checkBodyHash(reading: Reading): Rejection | null {
  const claimed = bodyHash(reading)
  if (claimed === null) return null
  const actual = createHash('sha256').update(reading.request.body).digest('hex')
  return equalAscii(claimed, actual) ? null : reject('body-not-bound')
}

/**
 * The texts that Twilio may have signed. Its back ends disagree about ports, and some sign an escaped form of the
 * query; its own libraries try the same.
 */
function* texts(url: string, fields: string): Generator<string> {
  const seen = new Set<string>()
  for (const candidate of urls(url)) {
    if (seen.has(candidate)) continue
    seen.add(candidate)
    yield candidate + fields
  }
}

function* urls(url: string): Generator<string> {
  yield withoutPort(url)
  yield withPort(url)
  if (url.length > URL_MAX || !URL.canParse(url)) return
  const normalized = new URL(url).toString()
  yield withoutPort(normalized)
  yield withPort(normalized)
  // V8: what cannot be read as it is written could be rewritten without a part of itself.
  if (parseForm(queryOf(url)) === null) return
  yield withLegacyQuery(withoutPort(normalized))
  yield withLegacyQuery(withPort(normalized))
}

function withoutPort(url: string): string {
  const parts = splitUrl(url)
  return parts === null ? url : parts.scheme + parts.userInfo + parts.host + parts.rest
}

function withPort(url: string): string {
  const parts = splitUrl(url)
  if (parts === null || parts.port !== '') return url
  const port = parts.scheme.toLowerCase() === 'https://' ? ':443' : ':80'
  return parts.scheme + parts.userInfo + parts.host + port + parts.rest
}

/** The query read and written anew, every pair of it: by default `parse` drops what comes after the thousandth. */
function withLegacyQuery(url: string): string {
  const at = url.indexOf('?')
  return at === -1 || at === url.length - 1
    ? url
    : `${url.slice(0, at)}?${stringify(parse(url.slice(at + 1), '&', '=', { maxKeys: 0 }))}`
}
