import { durationMs, durationWithin } from '@sallyport/core/duration'
import { DURATION_LIMITS } from '@sallyport/core/settings'
import type { Preset } from './schemes/scheme.ts'
import type { SourceSettings } from './source-settings.ts'

const DIGEST_WINDOW_DEFAULT = '24h'

/**
 * Where the id is a digest, two genuine equal bodies look like one event, so such a source forgets sooner than
 * others: after its `window`, else what the preset says of its sender, else 24 h, or for as long as the sender may
 * repeat a delivery.
 */
export function digestWindowMsOf(name: string, settings: SourceSettings, preset: Preset | null): number {
  if (settings.window !== undefined) {
    return durationWithin(settings.window, `sources.${name}.window`, DURATION_LIMITS.window)
  }
  if (preset?.digestWindow !== undefined) return durationMs(preset.digestWindow, 'digestWindow')
  const horizonMs = preset === null ? 0 : durationMs(preset.retryHorizon, 'retryHorizon')
  return Math.max(durationMs(DIGEST_WINDOW_DEFAULT, 'digestWindow'), horizonMs)
}
