/**
 * A row at work: from the header to a verdict.
 *
 *   claim (what does the request say?) → prove (does a key agree?) → freshness (is it now?)
 *
 * The claim is read strictly before anything is computed; the time is judged after the proof, so that a code such
 * as `stale-timestamp` tells of a genuine signature. Invariants V1–V7 stand in scheme.ts.
 */
import { createHash, createHmac, verify as verifySignature } from 'node:crypto'
import { equalAscii, equalBytes } from './compare.ts'
import { decodeStrict, type TextEncoding } from './encoding.ts'
import { checkFreshness, type Tolerance } from './freshness.ts'
import type { IndexedKey } from './keys.ts'
import type { CompiledLocation } from './location.ts'
import type { Reading } from './reading.ts'
import { type Rejection, reject } from './rejections.ts'
import type { Algorithm, ListSyntax, Scheme } from './scheme.ts'
import { compileTemplate, renderSide, type Template } from './template.ts'
import { readTime, type TimeUnit } from './timestamp.ts'
import { bodyParts, membersPattern, type Outcome, type Verifier } from './verifier.ts'

/** Signatures that one header may list; senders list two or three while they roll a secret. */
const LISTED_MAX = 20
const DIGEST_BYTES: Partial<Record<Algorithm, number>> = {
  'hmac-sha1': 20,
  'hmac-sha256': 32,
  'hmac-sha384': 48,
  'hmac-sha512': 64,
  sha256: 32,
  ed25519: 64,
}
const HASH: Partial<Record<Algorithm, string>> = {
  'hmac-sha1': 'sha1',
  'hmac-sha256': 'sha256',
  'hmac-sha384': 'sha384',
  'hmac-sha512': 'sha512',
  'ecdsa-p256-sha256': 'sha256',
  'rsa-sha256': 'sha256',
}

/** The time rule of a compiled row. */
export interface RowTime {
  readonly at: CompiledLocation | 'list'
  readonly unit: TimeUnit
  readonly tolerance: Tolerance
}

interface Claim {
  readonly signatures: readonly string[]
  readonly listedTime: string | undefined
}

/** Compiles a row with its keys. `setting` names the row in errors. */
export function compileRow(
  row: Scheme,
  keys: readonly IndexedKey[],
  time: RowTime | null,
  setting: string,
): Verifier {
  if (row.algorithm === 'token' || row.algorithm === 'basic') return credentialVerifier(row, keys)
  const template = compileTemplate(row.signed ?? '{body}', `${setting}.signed`)
  const changes = membersPattern(row.changesOnRetry)
  return { authenticate: reading => authenticateRow(row, template, keys, time, changes, reading) }
}

function authenticateRow(
  row: Scheme,
  template: Template,
  keys: readonly IndexedKey[],
  time: RowTime | null,
  changes: RegExp | undefined,
  reading: Reading,
): Outcome {
  const claim = readClaim(row, reading)
  if ('kind' in claim) return claim
  let timeText = ''
  let sentAt: number | null = null
  if (time !== null && (time.at === 'list' || time.at.from === 'header')) {
    const text =
      time.at === 'list' ? claim.listedTime : reading.headers.only((time.at as { name: string }).name)
    if (text === null) return reject('duplicate-header', 'The timestamp header came more than once.')
    if (text === undefined || text === '') return reject('missing-timestamp')
    sentAt = readTime(text, time.unit)
    if (sentAt === null) return reject('malformed-timestamp')
    timeText = text
  }
  const before = renderSide(template.before, reading, timeText, '')
  if (typeof before !== 'string') return before
  const after = renderSide(template.after, reading, timeText, '')
  if (typeof after !== 'string') return after
  const secretIndex = prove(row, template, keys, claim.signatures, before, reading, after, timeText)
  if (secretIndex === -1) return explainMismatch(row, claim.signatures)
  if (time !== null) {
    if (time.at !== 'list' && time.at.from !== 'header') {
      const found = timeInBody(reading, time)
      if (typeof found !== 'number') return found
      sentAt = found
    }
    const late = checkFreshness(sentAt as number, reading.nowMs, time.tolerance)
    if (late !== null) return late
  }
  const signedParts = bodyParts(reading.request.body, before + after, changes)
  return { kind: 'authentic', secretIndex, sentAt, signedParts }
}

/** V5 for a time in the body: read only after the proof, since it is the proof that vouches for it. */
export function timeInBody(reading: Reading, time: RowTime): number | Rejection {
  if (time.at === 'list') return reject('missing-timestamp')
  if (time.at.from === 'json' && !reading.json().ok) return reject('not-json')
  const value = reading.at(time.at)
  if (value === undefined || value === null || value === '') return reject('missing-timestamp')
  return readTime(value, time.unit) ?? reject('malformed-timestamp')
}

function readClaim(row: Scheme, reading: Reading): Claim | Rejection {
  const value = reading.headers.only(row.header.toLowerCase())
  if (value === null) return reject('duplicate-signature')
  if (value === undefined || value === '')
    return reject('missing-signature', `The header ${row.header} is absent or empty.`)
  if (row.list !== undefined) return readList(value, row.list, row.header)
  const prefix = row.prefix ?? ''
  if (!value.startsWith(prefix)) {
    return reject('malformed-signature', `The header ${row.header} does not begin with "${prefix}".`)
  }
  const signature = value.slice(prefix.length)
  if (signature === '') return reject('missing-signature', `The header ${row.header} holds no signature.`)
  return { signatures: [signature], listedTime: undefined }
}

/** The elements of a listing header. Strict: an element without label, a repeated time or a stray blank is malformed. */
export function readList(value: string, list: ListSyntax, header: string): Claim | Rejection {
  const signatures: string[] = []
  let listedTime: string | undefined
  const elements = value.split(list.separator, LISTED_MAX + 1)
  if (elements.length > LISTED_MAX)
    return reject('malformed-signature', `The header ${header} lists too much.`)
  for (const raw of elements) {
    const element = list.blanks === true ? raw.trim() : raw
    const at = element.indexOf(list.assign)
    const label = element.slice(0, at)
    const text = element.slice(at + 1)
    if (at < 1 || /\s/.test(element) || (list.assign === ',' && text.includes(','))) {
      return reject('malformed-signature', `The header ${header} is not a list of label${list.assign}value.`)
    }
    if (label === list.label) signatures.push(text)
    else if (label === list.timestamp) {
      if (listedTime !== undefined)
        return reject('malformed-signature', `The header ${header} gives two times.`)
      listedTime = text
    }
  }
  if (list.timestamp !== undefined && listedTime === undefined) return reject('missing-timestamp')
  if (signatures.length === 0) return reject('unknown-signature-version')
  if (signatures.every(text => text === '')) return reject('missing-signature')
  return { signatures, listedTime }
}

/** The index of the secret that agrees with one of the signatures, or -1. One computation for each key. */
function prove(
  row: Scheme,
  template: Template,
  keys: readonly IndexedKey[],
  signatures: readonly string[],
  before: string,
  reading: Reading,
  after: string,
  timeText: string,
): number {
  const encoding = row.encoding ?? 'hex'
  const { body } = reading.request
  if (DIGEST_BYTES[row.algorithm] === undefined || row.algorithm === 'ed25519') {
    return provePublic(
      row,
      keys,
      signatures,
      Buffer.concat([Buffer.from(before), body, Buffer.from(after)]),
      encoding,
    )
  }
  for (const { key, secretIndex, text } of keys) {
    let expected: string
    if (row.algorithm === 'sha256') {
      // `{secret}` was rendered empty above, since it differs from key to key.
      const whole = renderSide(template.before, reading, timeText, text) as string
      expected = createHash('sha256').update(whole).update(body).update(after).digest(encoding)
    } else {
      const mac = createHmac(HASH[row.algorithm] as string, key)
      if (before !== '') mac.update(before)
      if (template.body) mac.update(body)
      if (after !== '') mac.update(after)
      expected = mac.digest(encoding)
    }
    for (const signature of signatures) if (equalAscii(signature, expected)) return secretIndex
  }
  return -1
}

function provePublic(
  row: Scheme,
  keys: readonly IndexedKey[],
  signatures: readonly string[],
  signed: Buffer,
  encoding: TextEncoding,
): number {
  const hash = row.algorithm === 'ed25519' ? null : (HASH[row.algorithm] as string)
  for (const signature of signatures) {
    const bytes = decodeStrict(signature, encoding)
    if (bytes === null || bytes.length === 0) continue
    for (const { key, secretIndex } of keys) {
      if (verifySignature(hash, signed, key, bytes)) return secretIndex
    }
  }
  return -1
}

/** Nothing matched: is it a signature at all? */
function explainMismatch(row: Scheme, signatures: readonly string[]): Rejection {
  const encoding = row.encoding ?? 'hex'
  const length = DIGEST_BYTES[row.algorithm]
  const wellFormed = signatures.some(text => {
    const bytes = decodeStrict(text, encoding)
    return bytes !== null && bytes.length > 0 && (length === undefined || bytes.length === length)
  })
  if (wellFormed) return reject('wrong-signature')
  return reject(
    'malformed-signature',
    `The signature is not ${length === undefined ? '' : `${length} bytes in `}${encoding === 'hex' ? 'lower-case hex' : encoding}.`,
  )
}

/** Static tokens and basic authentication: constant-time equality, and nothing else is proven. */
function credentialVerifier(row: Scheme, keys: readonly IndexedKey[]): Verifier {
  const header = row.header.toLowerCase()
  const prefix = row.prefix ?? ''
  const expected = keys.map(({ text, secretIndex }) => ({
    secretIndex,
    bytes: Buffer.from(
      row.algorithm === 'basic' ? Buffer.from(text, 'utf8').toString('base64') : text,
      'utf8',
    ),
  }))
  return {
    authenticate(reading) {
      const value = reading.headers.only(header)
      if (value === null) return reject('duplicate-signature')
      if (value === undefined || value === '')
        return reject('missing-signature', `The header ${row.header} is absent or empty.`)
      const scheme = row.algorithm === 'basic' ? /^basic +/i.exec(value)?.[0] : prefix
      if (scheme === undefined || !value.startsWith(scheme)) return reject('malformed-signature')
      const text = value.slice(scheme.length)
      // Node hands over header bytes as Latin-1 characters; anything else did not come from a header.
      const given = Buffer.from(text, 'latin1')
      if (given.toString('latin1') !== text) return reject('wrong-token')
      for (const { secretIndex, bytes } of expected) {
        if (equalBytes(given, bytes)) {
          return {
            kind: 'authentic',
            secretIndex,
            sentAt: null,
            signedParts: bodyParts(reading.request.body, ''),
          }
        }
      }
      return reject('wrong-token')
    },
  }
}
