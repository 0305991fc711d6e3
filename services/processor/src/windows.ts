/** How long claims hold: the general window, and the shorter ones of sources whose event ids are digests. */
import { durationMs, durationText } from '@sallyport/core/duration'
import { SallyportError } from '@sallyport/core/errors'
import type { Settings } from '@sallyport/core/settings'
import type { ProcessorConfig } from './config.ts'
import type { HoldSettings } from './partition-holds.ts'

/** What a record may hold a position for, as a share of the shortest window (set-aside.ts). */
export const HELD_SHARE = 0.25

/**
 * The shortest window that the settings name, of these sources or of all, ms. Settings of processors need not have the
 * sources, and presets have windows of their own: an event's envelope says which one it has.
 */
export function shortestWindowMs(
  { windowMs, sources }: Pick<Settings, 'windowMs' | 'sources'>,
  taken: ReadonlySet<string> | null,
): number {
  const own = Object.entries(sources)
    .filter(([name, { window }]) => typeof window === 'string' && taken?.has(name) !== false)
    .map(([name, { window }]) => durationMs(window as string, `sources.${name}.window`))
  return Math.min(windowMs, ...own)
}

/**
 * How often what must not expire is written again, ms: PENDING claims and positions within a quarter of the window, and
 * each task's transactional id within a quarter of the time for which the brokers remember it. Once they have forgotten it
 * they refuse its producer, and the stay would end at the next event of a partition that was quiet.
 */
export function refreshEveryMs(windowMs: number, transactionalIdsMs: number): number {
  return Math.min(windowMs, transactionalIdsMs) / 4
}

/**
 * How partitions are held back: as the settings say, but for no longer than a record may hold its position. Claims of what
 * was processed behind it are refreshed only while the partition is worked on.
 */
export function holdSettings(
  settings: Pick<Settings, 'windowMs' | 'sources'> & { readonly processing: HoldSettings },
  taken: ReadonlySet<string> | null,
): HoldSettings {
  const { holdBackAfter, holdBackForMs, holdBackForMaxMs } = settings.processing
  const mostMs = Math.min(holdBackForMaxMs, shortestWindowMs(settings, taken) * HELD_SHARE)
  return { holdBackAfter, holdBackForMs: Math.min(holdBackForMs, mostMs), holdBackForMaxMs: mostMs }
}

/**
 * Throws `SP_PROCESSOR` where an attempt of a processor without retry tiers may run for longer than it may hold its
 * position: there is no tier that it could be set aside to.
 */
export function checkTimeout(
  {
    name,
    delaysMs,
    timeoutMs,
    sources,
  }: Pick<ProcessorConfig, 'name' | 'delaysMs' | 'timeoutMs' | 'sources'>,
  settings: Pick<Settings, 'windowMs' | 'sources'>,
): void {
  const windowMs = shortestWindowMs(settings, sources)
  if (delaysMs.length > 0 || timeoutMs <= windowMs * HELD_SHARE) return
  throw new SallyportError(
    'SP_PROCESSOR',
    `${name}.timeout is ${durationText(timeoutMs)}, and it has no retry tiers: an attempt that holds its position for more than a quarter of the shortest window (${durationText(windowMs)}) would let what was processed behind it run again; give it a tier (retry), shorten timeout, or lengthen the window`,
  )
}
