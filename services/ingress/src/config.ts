/** From `sallyport.yaml` and the environment to doors: what the server needs to know of each source. */
import path from 'node:path'
import type { Clock } from '@sallyport/core/clock'
import { durationText } from '@sallyport/core/duration'
import { SallyportError } from '@sallyport/core/errors'
import { resolveSecrets } from '@sallyport/core/secrets'
import type { Settings, SourceEntry } from '@sallyport/core/settings'
import { Networks } from './networks.ts'
import type { EncodingPolicy } from './receive.ts'
import { type HeaderNames, isAmong } from './schemes/verifier.ts'
import { storedSecret } from './secret-store.ts'
import { compileSource, type Source, type SourceSettings } from './sources.ts'
import { TokenBucket } from './token-bucket.ts'

/** One source, ready to receive. */
export interface Door {
  readonly source: Source
  /** Request headers to store with the event, names in lower case. */
  readonly keep: readonly string[]
  /** Where deliveries may come from; null for anywhere. */
  readonly allowFrom: Networks | null
  readonly encoding: EncodingPolicy
  /** Absolute path of the file that keeps the secret of the sender's handshake; null where none is offered. */
  readonly secretStore: string | null
  /** How many verified deliveries are let in; null for any number. */
  readonly bucket: TokenBucket | null
}

/** What a source says of its door, beside how its sender signs (`SourceSettings`). */
interface DoorSettings {
  readonly headers?: readonly string[]
  readonly allowFrom?: readonly string[]
  readonly contentEncoding?: EncodingPolicy
  readonly secretStore?: string
  readonly rate?: { readonly perSecond: number; readonly burst?: number }
}

/**
 * The doors of all sources. Throws `SP_SETTINGS` or `SP_SECRET_MISSING`, naming the setting and what to do; then
 * nothing of the file is used.
 */
export function openDoors(
  settings: Settings,
  env: NodeJS.ProcessEnv,
  clock: Clock,
): ReadonlyMap<string, Door> {
  return new Map(
    Object.entries(settings.sources).map(([name, entry]) => {
      const door = openDoor(name, entry, path.dirname(settings.file), env, clock)
      checkWindow(name, door.source, settings.windowMs)
      return [name, door]
    }),
  )
}

function openDoor(
  name: string,
  entry: SourceEntry,
  folder: string,
  env: NodeJS.ProcessEnv,
  clock: Clock,
): Door {
  const place = `sources.${name}`
  const { door, signing } = sourceSettings(name, entry, folder, env)
  const { headers, allowFrom, contentEncoding, rate } = door
  const source = compileSource(name, signing)
  return {
    source,
    // Kept bytes cannot be read without the name of their encoding.
    keep: [
      ...(contentEncoding === 'keep' ? ['content-encoding'] : []),
      ...keptHeaders(headers ?? [], source.verifier.proof, `${place}.headers`),
    ],
    allowFrom: allowFrom === undefined ? null : new Networks(allowFrom, `${place}.allowFrom`),
    encoding: contentEncoding ?? 'refuse',
    secretStore: storePath(door, folder),
    bucket: rate === undefined ? null : bucketOf(rate, clock),
  }
}

/**
 * A source's settings with its secrets resolved: what they say of its door, and of how its sender signs. Throws
 * `SP_SETTINGS` or `SP_SECRET_MISSING`.
 */
export function sourceSettings(
  name: string,
  entry: SourceEntry,
  folder: string,
  env: NodeJS.ProcessEnv,
): { readonly door: DoorSettings; readonly signing: SourceSettings } {
  const place = `sources.${name}`
  const resolved = resolveSecrets(entry, place, env) as DoorSettings & SourceSettings
  const { headers, allowFrom, contentEncoding, secretStore, rate, ...signing } = resolved
  return { door: resolved, signing: withStoredSecret(signing, storePath(resolved, folder), place) }
}

function storePath({ secretStore }: DoorSettings, folder: string): string | null {
  return secretStore === undefined ? null : path.resolve(folder, secretStore)
}

function bucketOf(rate: { perSecond: number; burst?: number }, clock: Clock): TokenBucket {
  const { perSecond, burst = Math.max(1, perSecond) } = rate
  return new TokenBucket({ perSecond, burst }, clock)
}

/** A source that waits for its sender's secret takes the stored one, if there is one by now. */
function withStoredSecret(settings: SourceSettings, store: string | null, place: string): SourceSettings {
  if (settings.awaitSecret !== true) return settings
  if (store === null) {
    throw new SallyportError(
      'SP_SETTINGS',
      `${place}.secretStore is required with awaitSecret: name the file that will keep the sender's secret`,
    )
  }
  const secret = storedSecret(store)
  if (secret === undefined) return settings
  const { awaitSecret, ...rest } = settings
  return { ...rest, secrets: [secret] }
}

/** A sender that may still repeat an event after its claim has expired would have it processed twice. */
function checkWindow(name: string, source: Source, windowMs: number): void {
  if (source.retryHorizonMs <= windowMs) return
  throw new SallyportError(
    'SP_SETTINGS',
    `window is ${durationText(windowMs)}, but ${source.scheme} (sources.${name}) repeats deliveries for up to ${durationText(source.retryHorizonMs)}: set window to at least that, or events may take effect twice`,
  )
}

/** Names of credentials that no scheme here reads: what a proxy adds, or the sender for another receiver. */
const NEVER_KEPT =
  /signature|token|secret|password|hmac|-mac$|jwt|client-cert|^authorization$|^proxy-authorization$|cookie|api-?key/

function keptHeaders(setting: readonly string[], proof: HeaderNames, place: string): readonly string[] {
  const names = setting.map(name => name.toLowerCase())
  for (const name of names) {
    if (isAmong(name, proof) || NEVER_KEPT.test(name)) {
      throw new SallyportError(
        'SP_SETTINGS',
        `${place} names ${name}, which carries a signature or credentials: remove it, such headers are not stored`,
      )
    }
  }
  return names
}
