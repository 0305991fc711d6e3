/**
 * A source's sender: makes sample deliveries, and signs them as the real one does.
 *
 *   settings → signing settings → sample or file → headers of the signed request
 */
import { randomUUID } from 'node:crypto'
import { SallyportError } from '@sallyport/core/errors'
import type { Settings } from '@sallyport/core/settings'
import { sourceSettings } from '@sallyport/ingress/config'
import { compileLocation, type compileLocations, type JsonPath } from '@sallyport/ingress/schemes/location'
import type { TimestampRule } from '@sallyport/ingress/schemes/scheme'
import { sign } from '@sallyport/ingress/schemes/sign'
import { type SourceSettings, timestampOf } from '@sallyport/ingress/source-settings'
import { compileSource, type Source } from '@sallyport/ingress/sources'
import { sampleUpdates } from '../samples.ts'

/** A delivery before it is signed. */
export interface Sample {
  /** For people. */
  readonly title: string
  readonly body: Buffer
  readonly headers: Readonly<Record<string, string>>
}

/** Header names in a signed template. */
const SIGNED_HEADER = /\{header:([^}]+)\}/g
/** The source whose samples are the article's ticket updates. */
const CRM = 'crm'

export class Sender {
  readonly #name: string
  readonly #settings: SourceSettings
  readonly #source: Source

  /** Throws `SP_SETTINGS` or `SP_SECRET_MISSING`. */
  constructor(name: string, signing: SourceSettings) {
    this.#name = name
    this.#settings = signing
    this.#source = compileSource(name, signing)
  }

  /** The sender of a source of the settings file. Throws as the constructor does, and where there is no such source. */
  static of(name: string, settings: Settings, env: NodeJS.ProcessEnv): Sender {
    const entry = Object.hasOwn(settings.sources, name) ? settings.sources[name] : undefined
    if (entry === undefined) {
      throw new SallyportError(
        'SP_SETTINGS',
        `${settings.file} has no source ${name}; it has: ${Object.keys(settings.sources).join(', ')}`,
      )
    }
    return new Sender(name, sourceSettings(name, entry, env).signing)
  }

  /** Deliveries of distinct events as the sender might make them. `nowMs`: ms since the epoch. */
  samples(nowMs: number): Sample[] {
    if (this.#name !== CRM) return [this.#sample(nowMs)]
    return sampleUpdates(nowMs).map(update => ({
      title: `${update.agent_id} ${update.status}`,
      body: Buffer.from(JSON.stringify(update)),
      headers: { 'content-type': 'application/json' },
    }))
  }

  /** The headers of a sample's request. Throws `SP_SETTINGS` where the sender signs with a private key. */
  headersOf({ body, headers }: Sample, url: string, nowMs: number): Record<string, string> {
    return sign(this.#name, this.#settings, { body, nowMs, url: this.#settings.url ?? url, headers })
  }

  /** A body and headers in which everything stands that the source looks for. */
  #sample(nowMs: number): Sample {
    const { preset, row } = this.#source
    const id = randomUUID()
    const form = new URLSearchParams()
    const headers: Record<string, string> = {}
    let body: unknown = { sample: id }
    const put = (text: string, value: unknown): void => {
      const location = compileLocation(text, `sources.${this.#name}`)
      if (location.from === 'header') headers[location.name] = String(value)
      else if (location.from === 'form') form.set(location.field, String(value))
      else body = withValue(body, location.path, value)
    }
    for (const [text] of this.#source.required) put(text, 'sample')
    for (const text of firstPlaces(this.#settings.type ?? preset?.type)) put(text, 'sample')
    for (const text of firstPlaces(this.#settings.id ?? preset?.id)) put(text, id)
    const { rule } = timestampOf(this.#name, this.#settings, row)
    if (rule?.at.startsWith('$')) put(rule.at, timeValue(rule, nowMs))
    for (const [, name] of (row?.signed ?? '').matchAll(SIGNED_HEADER))
      headers[(name as string).toLowerCase()] ??= id
    const isForm = form.size > 0
    return {
      title: `sample ${id.slice(0, 8)}`,
      body: Buffer.from(isForm ? form.toString() : JSON.stringify(body)),
      headers: {
        'content-type': isForm ? 'application/x-www-form-urlencoded' : 'application/json',
        ...headers,
      },
    }
  }
}

/** The places that are looked at first. */
function firstPlaces(locations: Parameters<typeof compileLocations>[0]): readonly string[] {
  const [first] = typeof locations === 'string' ? [locations] : (locations ?? [])
  if (first === undefined) return []
  return typeof first === 'string' ? [first] : first
}

function timeValue({ unit }: TimestampRule, nowMs: number): unknown {
  if (unit === 's') return Math.floor(nowMs / 1_000)
  return unit === 'ms' ? nowMs : new Date(nowMs).toISOString()
}

/** The value with something set at a path, whose objects and lists are made where they are missing. */
function withValue(value: unknown, steps: JsonPath, inner: unknown): unknown {
  const [step, ...rest] = steps
  if (step === undefined) return inner
  if (typeof step === 'number') {
    const list = Array.isArray(value) ? [...value] : []
    for (let i = 0; i <= step; i++) list[i] ??= {}
    list[step] = withValue(list[step], rest, inner)
    return list
  }
  const object = typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {}
  return { ...object, [step]: withValue((object as Record<string, unknown>)[step], rest, inner) }
}
