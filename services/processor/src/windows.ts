/** How long claims hold: the general window, and the shorter ones of sources whose event ids are digests. */
import { durationMs } from '@sallyport/core/duration'
import type { Settings } from '@sallyport/core/settings'

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
