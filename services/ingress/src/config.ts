/** From `sallyport.yaml` and the environment to doors: what the server needs to know of each source. */
import type { Clock } from '@sallyport/core/clock'
import { durationText } from '@sallyport/core/duration'
import { SallyportError } from '@sallyport/core/errors'
import { SealingKeys } from '@sallyport/core/sealing'
import { resolveSecrets } from '@sallyport/core/secrets'
import type { Settings, SourceEntry } from '@sallyport/core/settings'
import type { LearntSecrets } from './learning.ts'
import { isLoopback, Networks } from './networks.ts'
import type { EncodingPolicy } from './receive.ts'
import { type HeaderNames, isAmong } from './schemes/verifier.ts'
import { requireUrl } from './source-url.ts'
import { compileSource, type Source, type SourceSettings } from './sources.ts'
import { rateOf, TokenBucket } from './token-bucket.ts'

/** One source, ready to receive. */
export interface Door {
  readonly source: Source
  /** Request headers to store with the event, names in lower case. */
  readonly keep: readonly string[]
  /** Where deliveries may come from; null for anywhere. */
  readonly allowFrom: Networks | null
  readonly encoding: EncodingPolicy
  /** Whether a secret is one that the source could verify with. */
  readonly usable: (secret: string) => boolean
  /** How many verified deliveries are let in; null for any number. */
  readonly bucket: TokenBucket | null
}

/** What a source says of its door, beside how its sender signs (`SourceSettings`). */
interface DoorSettings {
  readonly headers?: readonly string[]
  readonly allowFrom?: readonly string[]
  readonly contentEncoding?: EncodingPolicy
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
  learnt: LearntSecrets = new Map(),
): ReadonlyMap<string, Door> {
  const doors = new Map(
    Object.entries(settings.sources).map(([name, entry]) => {
      const door = openDoor(name, entry, env, clock, learnt.get(name))
      const { ingress } = settings
      checkWindow(name, door.source, settings.windowMs)
      requireUrl(door.source, ingress.publicUrl, isLoopback(ingress.host))
      return [name, door]
    }),
  )
  const learner = [...doors.values()].find(({ source }) => source.learns)
  if (learner !== undefined) checkSealing(settings, learner.source)
  return doors
}

/**
 * One door. `learnt`: the secrets that its sender handed over, which stand before those of the settings. Throws as
 * `openDoors` does.
 */
export function openDoor(
  name: string,
  entry: SourceEntry,
  env: NodeJS.ProcessEnv,
  clock: Clock,
  learnt: readonly string[] = [],
): Door {
  const place = `sources.${name}`
  const { door, signing } = sourceSettings(name, entry, env)
  const { headers, allowFrom, contentEncoding, rate } = door
  const usable = (secret: string): boolean => canUse(name, signing, secret)
  const source = compileSource(name, withLearnt(signing, learnt.filter(usable)))
  return {
    source,
    // Kept bytes cannot be read without the name of their encoding.
    keep: [
      ...(contentEncoding === 'keep' ? ['content-encoding'] : []),
      ...keptHeaders(headers ?? [], source.verifier.proof, `${place}.headers`),
    ],
    allowFrom: allowFrom === undefined ? null : new Networks(allowFrom, `${place}.allowFrom`),
    encoding: contentEncoding ?? 'refuse',
    usable,
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
  env: NodeJS.ProcessEnv,
): { readonly door: DoorSettings; readonly signing: SourceSettings } {
  const place = `sources.${name}`
  const resolved = resolveSecrets(entry, place, env) as DoorSettings & SourceSettings
  const { headers, allowFrom, contentEncoding, rate, ...signing } = resolved
  return { door: resolved, signing }
}

function bucketOf(rate: { perSecond: number; burst?: number }, clock: Clock): TokenBucket {
  return new TokenBucket(rateOf(rate), clock)
}

/** What was learnt stands before what the settings say. */
function withLearnt(settings: SourceSettings, learnt: readonly string[]): SourceSettings {
  if (settings.awaitSecret !== true || learnt.length === 0) return settings
  return { ...settings, secrets: [...learnt, ...(settings.secrets ?? [])] }
}

/**
 * Whether a secret that somebody offers is one at all, written as this sender writes it. Anybody may offer one, so that
 * the schema of bodies, which takes long to compile, is left out.
 */
function canUse(name: string, settings: SourceSettings, secret: string): boolean {
  const { bodySchema: _, ...signing } = settings
  try {
    compileSource(name, { ...signing, secrets: [secret] })
    return true
  } catch {
    return false
  }
}

/** The keys of `ingress.sealingKeys`, or undefined where there are none. Throws `SP_SETTINGS` or `SP_SECRET_MISSING`. */
export function sealingKeys(
  { ingress }: Pick<Settings, 'ingress'>,
  env: NodeJS.ProcessEnv,
): SealingKeys | undefined {
  if (ingress.sealingKeys === undefined) return undefined
  const { sealingKeys: texts } = resolveSecrets({ sealingKeys: ingress.sealingKeys }, 'ingress', env)
  return new SealingKeys(texts, 'ingress.sealingKeys')
}

/** What is learnt lies in Kafka for all ingresses, where only a key that all have keeps it secret. */
function checkSealing(settings: Settings, { name }: Source): void {
  if (settings.ingress.sealingKeys !== undefined) return
  throw new SallyportError(
    'SP_SETTINGS',
    `ingress.sealingKeys is required, because sources.${name} learns its secret: name a variable or file, the same for every ingress, with what openssl rand -base64 32 prints`,
  )
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
