import { SallyportError } from '@sallyport/core/errors'
import type { Rate } from '../token-bucket.ts'
import type { SecretEncoding } from './encoding.ts'
import type { FetchText } from './fetch.ts'
import { compileTolerance, type Tolerance } from './freshness.ts'
import { KEY_LOOKUPS } from './key-cache.ts'
import { compilePublicKeys, compileSecrets, type IndexedKey } from './keys.ts'
import type { OptionRule, Scheme, TimestampRule } from './scheme.ts'

/** The settings of a source that schemes read, as far as `SourceSettings` has checked their shape. */
export interface SchemeSettings {
  readonly secrets?: readonly string[]
  readonly publicKeys?: readonly string[]
  readonly secretEncoding?: SecretEncoding
  readonly awaitSecret?: boolean
  readonly options?: Readonly<Record<string, string | readonly string[]>>
  /** How often keys that are not known are looked up, instead of `KEY_LOOKUPS`. */
  readonly keyLookups?: Rate
  /** Tolerances that the source sets instead of the preset's. */
  readonly tolerance?: Pick<TimestampRule, 'tolerance' | 'future'>
}

/** What a scheme is compiled from: one source's settings, read with clear errors. */
export class SchemeContext {
  readonly source: string
  readonly fetchText: FetchText
  /** How often keys that are not known are looked up. */
  readonly keyLookups: Rate
  /** The source has no secret and waits for the sender's handshake to offer one. */
  readonly awaitsSecret: boolean
  readonly #settings: SchemeSettings
  #keyBytesMin: number | null = null

  constructor(source: string, settings: SchemeSettings, fetchText: FetchText) {
    this.source = source
    this.fetchText = fetchText
    this.keyLookups = settings.keyLookups ?? KEY_LOOKUPS
    this.#settings = settings
    this.awaitsSecret = settings.awaitSecret === true && (settings.secrets ?? []).length === 0
  }

  /** The secrets as keys, decoded as the sender writes them unless the source says otherwise. */
  keys(encoding: SecretEncoding = 'utf8'): readonly IndexedKey[] {
    if (this.awaitsSecret) return []
    const keys = compileSecrets(
      this.source,
      this.#settings.secrets ?? [],
      this.#settings.secretEncoding ?? encoding,
    )
    const lengths = keys.map(({ key }) => key.symmetricKeySize ?? 0)
    this.#keyBytesMin = Math.min(this.#keyBytesMin ?? Number.POSITIVE_INFINITY, ...lengths)
    return keys
  }

  /** How long the shortest of the secrets is, decoded; null where none was asked for. */
  get keyBytesMin(): number | null {
    return this.#keyBytesMin
  }

  publicKeys(scheme: Scheme): readonly IndexedKey[] {
    return compilePublicKeys(this.source, this.#settings.publicKeys ?? [], scheme)
  }

  /** A text option, or undefined. */
  option(name: string): string | undefined {
    const value = this.#settings.options?.[name]
    return typeof value === 'string' ? value : undefined
  }

  /** A text option that the preset requires. */
  required(name: string): string {
    const value = this.option(name)
    if (value !== undefined && value.trim() !== '') return value
    throw new SallyportError(
      'SP_SETTINGS',
      `sources.${this.source}.${name} is required by this preset: set it`,
    )
  }

  /** A list option, empty where it is not set. */
  texts(name: string): readonly string[] {
    const value = this.#settings.options?.[name]
    return typeof value === 'string' ? [value] : (value ?? [])
  }

  /** The tolerance of a time rule, as the source overrides it. */
  tolerance(rule: Pick<TimestampRule, 'tolerance' | 'future'>): Tolerance {
    const own = this.#settings.tolerance
    return compileTolerance(
      own?.tolerance === undefined ? { ...rule, ...own } : own,
      `sources.${this.source}.timestamp`,
    )
  }
}

/** Checks options against a preset's rules; throws `SP_SETTINGS` naming the setting. */
export function checkOptions(
  source: string,
  rules: Readonly<Record<string, OptionRule>>,
  options: Readonly<Record<string, unknown>>,
): Record<string, string | readonly string[]> {
  const checked: Record<string, string | readonly string[]> = {}
  for (const [name, value] of Object.entries(options)) {
    const rule = rules[name]
    if (rule === undefined) {
      const known = Object.keys(rules)
      throw new SallyportError(
        'SP_SETTINGS',
        `sources.${source}.${name} is no setting of this source: remove it${known.length === 0 ? '' : ` (its own settings are ${known.join(', ')})`}`,
      )
    }
    const texts = Array.isArray(value) ? (value as unknown[]) : [value]
    const wrongShape = rule.kind === 'text' && Array.isArray(value)
    if (wrongShape || texts.some(text => typeof text !== 'string' || text.trim() === '')) {
      throw new SallyportError(
        'SP_SETTINGS',
        `sources.${source}.${name} must be ${rule.kind === 'text' ? 'a text' : 'a list of texts'} that is not empty: ${rule.words}`,
      )
    }
    if (rule.values !== undefined && !texts.every(text => rule.values?.includes(text as string))) {
      throw new SallyportError(
        'SP_SETTINGS',
        `sources.${source}.${name} must be one of ${rule.values.join(', ')}`,
      )
    }
    checked[name] = value as string | readonly string[]
  }
  for (const [name, rule] of Object.entries(rules)) {
    if (rule.required === true && checked[name] === undefined) {
      throw new SallyportError(
        'SP_SETTINGS',
        `sources.${source}.${name} is required by this preset: ${rule.words}`,
      )
    }
  }
  return checked
}
