/**
 * A row at work: from the header to a verdict.
 *
 *   claim (what does the request say?) → prove (does a key agree?) → freshness (is it now?)
 *
 * The claim is read strictly before anything is computed; the time is judged after the proof, so that a code such
 * as `stale-timestamp` tells of a genuine signature. Invariants V1–V8 stand in scheme.ts.
 */
import { timeDigitsOf } from './boundaries.ts'
import { credentialVerifier } from './credential.ts'
import { decodeStrict } from './encoding.ts'
import { checkFreshness, type Tolerance } from './freshness.ts'
import type { IndexedKey } from './keys.ts'
import type { CompiledLocation } from './location.ts'
import { urlCouldShift } from './open-url.ts'
import { compileProver, type Prover, SIGNATURE_BYTES } from './prover.ts'
import type { Reading } from './reading.ts'
import { type Rejection, reject } from './rejections.ts'
import type { ListSyntax, Scheme } from './scheme.ts'
import { compileTemplate, renderSide, type Template } from './template.ts'
import { readTime, type TimeUnit } from './timestamp.ts'
import {
  bodyParts,
  type Covers,
  type HeaderNames,
  membersPattern,
  type Outcome,
  type RequestLine,
  targetOf,
  type Verifier,
} from './verifier.ts'

/** Signatures that one header may list; senders list two or three while they roll a secret. */
const LISTED_MAX = 20

/** The time rule of a compiled row. */
export interface RowTime {
  readonly at: CompiledLocation | 'list'
  readonly unit: TimeUnit
  readonly tolerance: Tolerance
}

/** What a signature header says, nothing of it proven yet. */
export interface Claim {
  readonly kind: 'claim'
  readonly signatures: readonly string[]
  readonly listedTime: string | undefined
}

/** A time that was read, with the literal text that is signed. */
interface ClaimedTime {
  readonly kind: 'time'
  readonly text: string
  /** Null where the time stands in the body, to be read after the proof. */
  readonly sentAt: number | null
}

const NO_TIME: ClaimedTime = { kind: 'time', text: '', sentAt: null }

/** Compiles a row with its keys. `setting` names the row in errors. */
export function compileRow(
  row: Scheme,
  keys: readonly IndexedKey[],
  time: RowTime | null,
  setting: string,
): Verifier {
  if (row.algorithm === 'token' || row.algorithm === 'basic') return credentialVerifier(row, keys)
  return new RowVerifier(row, keys, time, compileTemplate(row.signed ?? '{body}', `${setting}.signed`))
}

class RowVerifier implements Verifier {
  readonly proof: HeaderNames
  readonly requestLine: RequestLine
  readonly #row: Scheme
  readonly #header: string
  readonly #time: RowTime | null
  readonly #template: Template
  readonly #prove: Prover
  readonly #changes: RegExp | undefined
  readonly #covers: Covers
  /** V4: the length of a time in digits that nothing else ends. */
  readonly #timeDigits: number | null

  constructor(row: Scheme, keys: readonly IndexedKey[], time: RowTime | null, template: Template) {
    this.#row = row
    this.#header = row.header.toLowerCase()
    this.proof = [this.#header]
    this.requestLine = { url: template.url, method: template.method }
    this.#time = time
    this.#template = template
    this.#prove = compileProver(row, template, keys)
    this.#changes = membersPattern(row.changesOnRetry)
    this.#covers = place => (place.from === 'header' ? template.headers.has(place.name) : template.body)
    this.#timeDigits = timeDigitsOf(template, time?.unit ?? null)
    this.authenticate = this.authenticate.bind(this)
  }

  authenticate(reading: Reading): Outcome {
    const claim = this.#readClaim(reading)
    if (claim.kind === 'rejected') return claim
    const claimed = this.#readTime(claim, reading)
    if (claimed.kind === 'rejected') return claimed
    const before = renderSide(this.#template.before, reading, claimed.text, '')
    if (typeof before !== 'string') return before
    const after = renderSide(this.#template.after, reading, claimed.text, '')
    if (typeof after !== 'string') return after
    const secretIndex = this.#prove(claim.signatures, { before, after, time: claimed.text, reading })
    if (secretIndex === 'spent') return reject('too-much-work')
    if (secretIndex === 'none') return explainMismatch(this.#row, claim.signatures)
    const shifted = this.#findShift(reading, claimed.text)
    if (shifted !== null) return shifted
    const sentAt = claimed.sentAt ?? this.#readBodyTime(reading)
    if (sentAt !== null && typeof sentAt !== 'number') return sentAt
    if (sentAt !== null && this.#time !== null) {
      const late = checkFreshness(sentAt, reading.nowMs, this.#time.tolerance)
      if (late !== null) return late
    }
    const signedTarget = targetOf(reading, this.requestLine)
    // A retry has a new time, and then nothing but the target is the data.
    const surroundings = signedTarget === '' ? before + after : ''
    const signedParts = bodyParts(reading.request.body, surroundings, this.#changes)
    return { kind: 'authentic', secretIndex, sentAt, signedParts, signedTarget, covers: this.#covers }
  }

  #readClaim(reading: Reading): Claim | Rejection {
    const { header, list, prefix = '' } = this.#row
    const value = reading.headers.only(this.#header)
    if (value === null) return reject('duplicate-signature')
    if (value === undefined || value === '') {
      return reject('missing-signature', `The header ${header} is absent or empty.`)
    }
    if (list !== undefined) return readList(value, list, header)
    if (!value.startsWith(prefix)) {
      return reject('malformed-signature', `The header ${header} does not begin with "${prefix}".`)
    }
    const signature = value.slice(prefix.length)
    if (signature === '') return reject('missing-signature', `The header ${header} holds no signature.`)
    return { kind: 'claim', signatures: [signature], listedTime: undefined }
  }

  /** V4: the time of a header or list, in its one form. */
  #readTime(claim: Claim, reading: Reading): ClaimedTime | Rejection {
    const time = this.#time
    if (time === null) return NO_TIME
    const text =
      time.at === 'list'
        ? claim.listedTime
        : time.at.from === 'header'
          ? reading.headers.only(time.at.name)
          : ''
    if (time.at !== 'list' && time.at.from !== 'header') return NO_TIME
    if (text === null) return reject('duplicate-header', 'The timestamp header came more than once.')
    if (text === undefined || text === '') return reject('missing-timestamp')
    const sentAt = readTime(text, time.unit)
    const isOpen = this.#timeDigits !== null && text.length !== this.#timeDigits
    return sentAt === null || isOpen ? reject('malformed-timestamp') : { kind: 'time', text, sentAt }
  }

  /** V4: whether the very text that is proven is that of another request too. */
  #findShift(reading: Reading, time: string): Rejection | null {
    if (this.#row.algorithm === 'sha256' && reading.request.body.includes(0)) {
      return reject('malformed-body', 'The body holds a NUL, as whatever lengthens a plain hash does.')
    }
    if (!this.#template.url) return null
    const { after } = this.#template
    const at = after.findIndex(part => part.kind === 'placeholder' && part.name === 'url')
    const between = after.slice(0, Math.max(at, 0))
    const text = renderSide(between, reading, time, '')
    const shifts = typeof text !== 'string' || urlCouldShift(this.#template, reading, text)
    return shifts ? reject('ambiguous-text', 'Bytes of the URL could stand in the body as well.') : null
  }

  /** V5 for a time in the body: read only after the proof, since it is the proof that vouches for it. */
  #readBodyTime(reading: Reading): number | null | Rejection {
    const time = this.#time
    if (time === null || time.at === 'list') return null
    if (time.at.from === 'json' && !reading.json().ok) return reject('not-json')
    const value = reading.at(time.at)
    if (value === undefined || value === null || value === '')
      return { ...reject('missing-timestamp'), isProven: true }
    return readTime(value, time.unit) ?? { ...reject('malformed-timestamp'), isProven: true }
  }
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
    const position = signatures.length + (listedTime === undefined ? 0 : 1)
    if (list.fixed === true && label !== [list.timestamp, list.label][position]) {
      return reject(
        'malformed-signature',
        `The header ${header} is not ${list.timestamp}, then ${list.label}.`,
      )
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
  return { kind: 'claim', signatures, listedTime }
}

/** Nothing matched: is it a signature at all? */
function explainMismatch({ algorithm, encoding = 'hex' }: Scheme, signatures: readonly string[]): Rejection {
  const length = SIGNATURE_BYTES[algorithm]
  const wellFormed = signatures.some(text => {
    const bytes = decodeStrict(text, encoding)
    return bytes !== null && bytes.length > 0 && (length === undefined || bytes.length === length)
  })
  if (wellFormed) return reject('wrong-signature')
  const writing = encoding === 'hex' ? 'lower-case hex' : encoding
  return reject(
    'malformed-signature',
    `The signature is not ${length === undefined ? '' : `${length} bytes in `}${writing}.`,
  )
}
