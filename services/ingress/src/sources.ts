/**
 * A source compiled: settings checked, keys made, paths parsed, so that a request costs no more than its proof.
 *
 *   settings → preset or custom row → keys and tolerance → verifier, id, type, required fields, body schema
 */

import { durationMs } from '@sallyport/core/duration'
import type { Identity } from '@sallyport/core/event'
import { type BodySchema, compileBodySchema } from './body-schema.ts'
import type { SenderResponse } from './delivery.ts'
import { digestWindowMsOf } from './digest-window.ts'
import { checkOptions, SchemeContext } from './schemes/context.ts'
import { checkRow } from './schemes/custom-row.ts'
import { type FetchText, fetchText } from './schemes/fetch.ts'
import { compileTolerance } from './schemes/freshness.ts'
import { compileHandshakes } from './schemes/handshakes.ts'
import {
  type CompiledLocation,
  type CompiledLocations,
  compileLocation,
  compileLocations,
} from './schemes/location.ts'
import { findPreset, listPresets } from './schemes/presets.ts'
import { compileRow, type RowTime } from './schemes/row.ts'
import type { OptionRule, Preset, Scheme, SignedUrl, TimestampRule } from './schemes/scheme.ts'
import { compileTemplate } from './schemes/template.ts'
import { type HeaderNames, isAmong, type Verifier } from './schemes/verifier.ts'
import { bad, type SourceSettings, timestampOf } from './source-settings.ts'
import { signedUrlOf, urlOf } from './source-url.ts'
import { rateOf } from './token-bucket.ts'
import { refuseAmbiguous, wantsJson } from './unambiguous.ts'

export type { SourceSettings, TimestampSettings } from './source-settings.ts'

/** A source ready to verify. */
export interface Source {
  readonly name: string
  /** The preset's name, or `custom`. */
  readonly scheme: string
  readonly preset: Preset | null
  /** HTTP methods that deliveries and handshakes use. */
  readonly methods: ReadonlySet<string>
  /** Those of deliveries: a request with another one is never an event. */
  readonly deliveries: ReadonlySet<string>
  /** What event ids are made of where the sender's id is there. */
  readonly identity: Identity
  /** How long the sender goes on sending one event, ms; 0 where it is not known. */
  readonly retryHorizonMs: number
  /** How long two equal deliveries count as one where the event id is a digest, ms: see `digestWindowMsOf`. */
  readonly digestWindowMs: number
  /** Answer to an accepted delivery that the sender demands, or null for the usual one. */
  readonly success: SenderResponse | null
  /** It takes the secret that its sender's handshake offers, when an operator lets it. */
  readonly learns: boolean
  /** It learns, and has no secret yet. */
  readonly awaitsSecret: boolean
  /** How many bytes the shortest of its secrets has, decoded; null where it has none. */
  readonly keyBytesMin: number | null
  readonly url: string | undefined
  readonly signedUrl: SignedUrl
  /** A body that is no JSON is refused: id or type are read from it, and other bytes of the signed text could pose as one. */
  readonly wantsJson: boolean
  readonly verifier: Verifier
  readonly id: CompiledLocations
  readonly type: CompiledLocations
  readonly typeOf: Preset['typeOf']
  readonly required: readonly (readonly [text: string, location: CompiledLocation])[]
  /** What a body must look like, or null where anything will do. */
  readonly bodySchema: BodySchema | null
  /** The row, where the source has one; `sign` builds requests from it. */
  readonly row: Scheme | null
}

/** A source's name: it stands in URLs, and before the `/` of event ids. */
const NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/
const COMMON = new Set([
  'preset',
  'scheme',
  'secrets',
  'publicKeys',
  'secretEncoding',
  'awaitSecret',
  'timestamp',
  'required',
  'bodySchema',
  'patternCharsMax',
  'id',
  'type',
  'url',
  'window',
  'success',
  'keyLookups',
])
const OPTION_PLACES: Readonly<Record<string, OptionRule>> = {
  header: { kind: 'text', words: 'the header in which the sender was told to put the token' },
  username: { kind: 'text', words: 'the user name of basic authentication' },
}

/** Things that tests replace. */
export interface SourceContext {
  readonly fetchText?: FetchText
}

/** Compiles one source; throws `SP_SETTINGS` or `SP_SECRET_MISSING` with the setting's name and what to do. */
export function compileSource(name: string, settings: SourceSettings, context: SourceContext = {}): Source {
  if (!NAME.test(name)) throw bad(name, '', 'must be lower-case letters, digits, - and _, at most 63')
  const preset = presetOf(name, settings)
  const options: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(settings)) {
    if (!COMMON.has(key) && value !== undefined) options[key] = value
  }
  const row = rowOf(name, settings, preset, options)
  refusePlace(name, row)
  const timestamp = timestampOf(name, settings, row)
  const rules = { ...(preset?.options ?? {}), ...credentialOptions(row) }
  if (settings.awaitSecret === true && !offersSecret(preset)) {
    throw bad(name, 'awaitSecret', 'is only for senders that offer their secret in a handshake: remove it')
  }
  const scheme = new SchemeContext(
    name,
    {
      ...schemeSettings(name, settings),
      options: checkOptions(name, rules, options),
      ...(timestamp.override === null ? {} : { tolerance: timestamp.override }),
    },
    context.fetchText ?? fetchText,
  )
  const verifier = verifierOf(name, settings, preset, row, scheme, timestamp.rule)
  const own = settings.id !== undefined
  const signedUrl = signedUrlOf(preset, row)
  const id = compileLocations(settings.id ?? preset?.id, `sources.${name}.id`)
  const type = compileLocations(settings.type ?? preset?.type, `sources.${name}.type`)
  refuseProofs(name, 'id', id, verifier.proof)
  refuseProofs(name, 'type', type, verifier.proof)
  return {
    name,
    scheme: preset?.name ?? 'custom',
    preset,
    methods: new Set([...(preset?.methods ?? ['POST']), ...(preset?.probes ?? [])]),
    deliveries: new Set(preset?.methods ?? ['POST']),
    identity: preset !== null && !own ? preset.identity : covers(row, id) ? 'SENDER_ID' : 'DIGEST',
    retryHorizonMs: preset === null ? 0 : durationMs(preset.retryHorizon, 'retryHorizon'),
    digestWindowMs: digestWindowMsOf(name, settings, preset),
    success: successOf(name, settings, preset),
    learns: settings.awaitSecret === true,
    awaitsSecret: scheme.awaitsSecret,
    keyBytesMin: scheme.keyBytesMin,
    url: urlOf(name, settings, signedUrl),
    signedUrl,
    wantsJson: wantsJson(settings, row, signedUrl, id, type),
    verifier,
    id,
    type,
    typeOf: settings.type === undefined ? preset?.typeOf : undefined,
    required: (settings.required ?? []).map(
      text => [text, compileLocation(text, `sources.${name}.required`)] as const,
    ),
    bodySchema:
      settings.bodySchema === undefined
        ? null
        : compileBodySchema(settings.bodySchema, `sources.${name}.bodySchema`, settings.patternCharsMax),
    row,
  }
}

function presetOf(name: string, settings: SourceSettings): Preset | null {
  if ((settings.preset === undefined) === (settings.scheme === undefined)) {
    throw bad(
      name,
      '',
      'needs either preset (a known sender) or scheme (how an own sender signs): set one of them',
    )
  }
  if (settings.preset === undefined) return null
  const preset = findPreset(settings.preset)
  if (preset !== undefined) return preset
  const known = listPresets().map(entry => entry.name)
  throw bad(name, 'preset', `is ${JSON.stringify(settings.preset)}, which is none of: ${known.join(', ')}`)
}

/** The row of a source: the preset's, with its header where the sender lets one choose it; or the custom one. */
function rowOf(
  name: string,
  settings: SourceSettings,
  preset: Preset | null,
  options: Record<string, unknown>,
): Scheme | null {
  if (preset !== null) {
    if (preset.scheme === undefined) return null
    const chooses = preset.scheme.algorithm === 'token' && typeof options.header === 'string'
    return chooses ? { ...preset.scheme, header: options.header as string } : preset.scheme
  }
  const scheme = checkRow(name, settings.scheme as Partial<Scheme>)
  if (scheme.list?.timestamp === undefined) return scheme
  const unit = typeof settings.timestamp === 'object' ? settings.timestamp.unit : undefined
  return { ...scheme, timestamp: { at: 'list', unit: unit ?? 's' } }
}

function credentialOptions(row: Scheme | null): Record<string, OptionRule> {
  if (row?.algorithm === 'basic') {
    return { username: { ...(OPTION_PLACES.username as OptionRule), required: true } }
  }
  return row?.algorithm === 'token' ? { header: OPTION_PLACES.header as OptionRule } : {}
}

function offersSecret(preset: Preset | null): boolean {
  const names = typeof preset?.handshake === 'string' ? [preset.handshake] : (preset?.handshake ?? [])
  return names.some(name => name === 'asana' || name === 'notion' || name === 'salesforce')
}

/** Settings for the keys; a user name of basic authentication becomes part of the secret. */
function schemeSettings(name: string, settings: SourceSettings) {
  const secrets = settings.secrets
  if (secrets !== undefined && !Array.isArray(secrets)) throw bad(name, 'secrets', 'must be a list')
  return {
    ...(secrets === undefined ? {} : { secrets }),
    ...(settings.publicKeys === undefined ? {} : { publicKeys: settings.publicKeys }),
    ...(settings.secretEncoding === undefined ? {} : { secretEncoding: settings.secretEncoding }),
    ...(settings.awaitSecret === undefined ? {} : { awaitSecret: settings.awaitSecret }),
    ...(settings.keyLookups === undefined ? {} : { keyLookups: rateOf(settings.keyLookups) }),
  }
}

function verifierOf(
  name: string,
  settings: SourceSettings,
  preset: Preset | null,
  row: Scheme | null,
  scheme: SchemeContext,
  rule: TimestampRule | null,
): Verifier {
  const base = preset?.code?.(scheme) ?? rowVerifier(name, settings, row as Scheme, scheme, rule)
  if (preset?.handshake === undefined) return base
  const names = typeof preset.handshake === 'string' ? [preset.handshake] : preset.handshake
  const keys =
    preset.needs === 'publicKeys' || preset.needs === 'nothing' ? [] : scheme.keys(row?.secretEncoding)
  const option = (key: string) => scheme.option(key)
  const learns = settings.awaitSecret === true
  const handshakes = compileHandshakes(names, { keys, learns, option })
  return { ...base, ...handshakes, proof: [...base.proof, ...handshakes.proof] }
}

function rowVerifier(
  name: string,
  settings: SourceSettings,
  row: Scheme,
  scheme: SchemeContext,
  rule: TimestampRule | null,
): Verifier {
  const setting = `sources.${name}.scheme`
  const asymmetric =
    row.algorithm === 'ed25519' || row.algorithm === 'ecdsa-p256-sha256' || row.algorithm === 'rsa-sha256'
  let keys = asymmetric ? scheme.publicKeys(row) : scheme.keys(row.secretEncoding)
  if (row.algorithm === 'basic') {
    const username = scheme.required('username')
    if (username.includes(':')) throw bad(name, 'username', 'must not hold ":"')
    keys = keys.map(key => ({ ...key, text: `${username}:${key.text}` }))
  }
  const template = compileTemplate(row.signed ?? '{body}', `${setting}.signed`)
  const inBody = rule?.at.startsWith('$') === true
  if (template.timestamp && (rule === null || inBody)) {
    throw bad(
      name,
      'timestamp',
      'is required: scheme.signed holds {timestamp}, so name the header that it stands in',
    )
  }
  refuseAmbiguous(name, row, template, keys, rule, settings.url !== undefined)
  if (rule === null) return compileRow(row, keys, null, setting)
  const at: RowTime['at'] =
    rule.at === 'list' ? 'list' : compileLocation(rule.at, `sources.${name}.timestamp`)
  const signed = at === 'list' || at.from === 'header' ? template.timestamp : template.body
  if (!signed && settings.timestamp !== undefined) {
    throw bad(
      name,
      'timestamp',
      'is not covered by the signature, so it would prove nothing: write {timestamp} in scheme.signed',
    )
  }
  const tolerance =
    row.timestamp === undefined ? compileTolerance(rule, `sources.${name}.timestamp`) : scheme.tolerance(rule)
  return compileRow(row, keys, { at, unit: rule.unit, tolerance }, setting)
}

/** Headers that are stored, logged or traced whatever a source keeps, so that no proof may stand there. */
const NEVER_PROOF: ReadonlySet<string> = new Set(['content-type', 'content-encoding', 'traceparent', 'host'])

function refusePlace(name: string, row: Scheme | null): void {
  const header = row?.header.toLowerCase() ?? ''
  if (!NEVER_PROOF.has(header)) return
  throw bad(
    name,
    '',
    `takes its proof from ${header}, which is stored with events or belongs to HTTP: name another header`,
  )
}

/** An id or type is stored with the event, which a proof must not be. */
function refuseProofs(name: string, setting: string, places: CompiledLocations, proof: HeaderNames): void {
  for (const place of places.flat()) {
    if (place.from === 'header' && isAmong(place.name, proof)) {
      throw bad(
        name,
        setting,
        `names ${place.name}, which proves the sender and is not stored: name another place`,
      )
    }
  }
}

/** Whether the signature of a row covers the id's place (V6). */
function covers(row: Scheme | null, id: CompiledLocations): boolean {
  if (row === null || id.length === 0 || row.algorithm === 'token' || row.algorithm === 'basic') return false
  const template = compileTemplate(row.signed ?? '{body}', 'signed')
  return id
    .flat()
    .every(place => (place.from === 'header' ? template.headers.has(place.name) : template.body))
}

function successOf(name: string, settings: SourceSettings, preset: Preset | null): SenderResponse | null {
  const own = settings.success
  if (own === undefined) return preset?.success ?? null
  const status = own.status ?? 200
  if (!Number.isInteger(status) || status < 200 || status > 299)
    throw bad(name, 'success.status', 'must be 200 to 299')
  const body = own.body ?? ''
  const contentType = own.contentType ?? 'text/plain; charset=utf-8'
  return { status, headers: body === '' ? {} : { 'content-type': contentType }, body }
}
