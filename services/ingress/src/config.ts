/** From `sallyport.yaml` and the environment to doors: what the server needs to know of each source. */
import { durationText } from '@sallyport/core/duration'
import { SallyportError } from '@sallyport/core/errors'
import { resolveSecrets } from '@sallyport/core/secrets'
import type { Settings, SourceEntry } from '@sallyport/core/settings'
import { compileSource, type Source, type SourceSettings } from './sources.ts'

/** One source, ready to receive. */
export interface Door {
  readonly source: Source
  /** Request headers to store with the event, names in lower case. */
  readonly keep: readonly string[]
}

/** Settings of a source that are the door's or the processor's and say nothing about how its sender signs. */
const OWN_SETTINGS = new Set(['headers', 'window'])

/**
 * The doors of all sources. Throws `SP_SETTINGS` or `SP_SECRET_MISSING`, naming the setting and what to do; then
 * nothing of the file is used.
 */
export function openDoors(settings: Settings, env: NodeJS.ProcessEnv): ReadonlyMap<string, Door> {
  return new Map(
    Object.entries(settings.sources).map(([name, entry]) => {
      const door = openDoor(name, entry, env)
      checkWindow(name, door.source, settings.windowMs)
      return [name, door]
    }),
  )
}

function openDoor(name: string, entry: SourceEntry, env: NodeJS.ProcessEnv): Door {
  const place = `sources.${name}`
  const resolved = resolveSecrets(entry, place, env)
  const scheme = Object.fromEntries(Object.entries(resolved).filter(([key]) => !OWN_SETTINGS.has(key)))
  return {
    source: compileSource(name, scheme as SourceSettings),
    keep: keptHeaders(entry.headers, `${place}.headers`),
  }
}

/** A sender that may still repeat an event after its claim has expired would have it processed twice. */
function checkWindow(name: string, source: Source, windowMs: number): void {
  if (source.retryHorizonMs <= windowMs) return
  throw new SallyportError(
    'SP_SETTINGS',
    `window is ${durationText(windowMs)}, but ${source.scheme} (sources.${name}) repeats deliveries for up to ${durationText(source.retryHorizonMs)}: set window to at least that, or events may take effect twice`,
  )
}

/** Names that carry proofs or credentials: stored with every event they would be at every reader's disposal. */
const NEVER_KEPT =
  /signature|token|secret|password|hmac|^authorization$|^proxy-authorization$|cookie|api-?key/

function keptHeaders(setting: unknown, place: string): readonly string[] {
  if (setting === undefined) return []
  const names = (Array.isArray(setting) ? setting : [setting]).map(name => String(name).toLowerCase())
  for (const name of names) {
    if (NEVER_KEPT.test(name)) {
      throw new SallyportError(
        'SP_SETTINGS',
        `${place} names ${name}, which carries a signature or credentials: remove it, such headers are not stored`,
      )
    }
  }
  return names
}
