/** What `sallyport.yaml` says of one source, and the readings of it that need more than a look. */
import { SallyportError } from '@sallyport/core/errors'
import type { SecretEncoding } from './schemes/encoding.ts'
import type { Locations, Scheme, TimestampRule } from './schemes/scheme.ts'
import type { TimeUnit } from './schemes/timestamp.ts'

/** A time that a source names itself: where it stands, and how far from now it may be. */
export interface TimestampSettings {
  /** Path into the JSON body, `$.timestamp`. */
  readonly path?: string
  /** A header; the scheme's `signed` text must hold `{timestamp}`. */
  readonly header?: string
  /** Default `auto`: ISO 8601, unix seconds or unix milliseconds. */
  readonly unit?: TimeUnit
  /** How old, default `5m`. */
  readonly tolerance?: string
  /** How far ahead, default the tolerance but at most `5m`. */
  readonly future?: string
}

/** One source of `sallyport.yaml`, its references resolved. Options of presets stand beside these. */
export interface SourceSettings {
  /** A name of `listPresets()`. Either this or `scheme`. */
  readonly preset?: string
  /** A custom row. */
  readonly scheme?: Partial<Scheme>
  /** The first is current, the others are previous ones that are still accepted. */
  readonly secrets?: readonly string[]
  /** Public keys of the sender, for schemes that sign with a private one. */
  readonly publicKeys?: readonly string[]
  /** How the secrets are written, where the sender leaves it open. */
  readonly secretEncoding?: SecretEncoding
  /** Take the secret that the sender's handshake offers (Asana, Notion, Salesforce) when an operator lets it. */
  readonly awaitSecret?: boolean
  /** A text is the path or header; for a preset with its own time, only `tolerance` and `future`. */
  readonly timestamp?: string | TimestampSettings
  /** Fields that must be there and not be empty, or the answer is 400. */
  readonly required?: readonly string[]
  /** A JSON Schema (draft 2020-12) that the body must fit, or the answer is 400. */
  readonly bodySchema?: object
  /**
   * How many characters of one body the patterns of `bodySchema` may look at, all together; a body for which that is
   * not enough does not fit. Default 262,144, which take some 20 ms.
   */
  readonly patternCharsMax?: number
  readonly id?: Locations
  readonly type?: Locations
  /** The URL as registered at the sender; only for schemes that sign it. Default: `ingress.publicUrl` with the path and query that came, on loopback the request's own URL. */
  readonly url?: string
  /**
   * How often a key that is not known is looked up at the sender, for senders that publish theirs: whoever calls can
   * name one, and a delivery that would need more lookups is answered with 503. Default 1 a second, burst 10, for each worker.
   */
  readonly keyLookups?: { readonly perSecond: number; readonly burst?: number }
  /** How long an id is remembered where it is a digest; see `digestWindowMsOf`. Default: the sender's, else 24h. */
  readonly window?: string
  /** Answer to an accepted delivery instead of the preset's or the usual one. */
  readonly success?: { readonly status?: number; readonly body?: string; readonly contentType?: string }
  readonly [option: string]: unknown
}

/** An error that names the setting of a source. */
export function bad(name: string, setting: string, words: string): SallyportError {
  return new SallyportError('SP_SETTINGS', `sources.${name}${setting === '' ? '' : `.${setting}`} ${words}`)
}

/** The time rule of a source. */
export interface SourceTime {
  readonly rule: TimestampRule | null
  /** The source's own tolerance for the preset's time. */
  readonly override: Pick<TimestampRule, 'tolerance' | 'future'> | null
}

/** The signed time of a source: its own, or its scheme's with its own tolerance; throws `SP_SETTINGS`. */
export function timestampOf(name: string, settings: SourceSettings, row: Scheme | null): SourceTime {
  const own = typeof settings.timestamp === 'string' ? placeOf(settings.timestamp) : settings.timestamp
  if (own === undefined) return { rule: row?.timestamp ?? null, override: null }
  const { path, header, ...bounds } = own
  const at = path ?? header
  if (at === undefined) {
    if (row !== null && row.timestamp === undefined) {
      throw bad(name, 'timestamp', 'needs path or header: the scheme has no signed time of its own')
    }
    return { rule: row?.timestamp ?? null, override: bounds }
  }
  if (row === null || row.algorithm === 'token' || row.algorithm === 'basic') {
    throw bad(
      name,
      'timestamp',
      'names a time that this scheme does not sign, so it would prove nothing: remove it',
    )
  }
  if (row.timestamp !== undefined) {
    throw bad(name, 'timestamp', 'can only set tolerance and future: the scheme has a signed time of its own')
  }
  return { rule: { at, unit: bounds.unit ?? 'auto', ...bounds }, override: null }
}

function placeOf(text: string): TimestampSettings {
  return text.startsWith('$') ? { path: text } : { header: text }
}
