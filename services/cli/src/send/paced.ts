import { setTimeout as sleep } from 'node:timers/promises'

/** Requests that may be under way where a rate is asked for: a slow ingress shows as a rate that is not reached. */
const UNDER_WAY_MAX = 64

/**
 * Runs `work` for 0, 1, … `count - 1`: one after the other, or `perSecond` of them begun each second whether or not the
 * earlier ones have ended. The first failure ends it.
 */
export async function paced(
  count: number,
  perSecond: number | undefined,
  work: (i: number) => Promise<void>,
): Promise<void> {
  if (perSecond === undefined) {
    for (let i = 0; i < count; i++) await work(i)
    return
  }
  const startedAt = performance.now()
  const underWay = new Set<Promise<void>>()
  for (let i = 0; i < count; i++) {
    const waitMs = startedAt + (i * 1_000) / perSecond - performance.now()
    if (waitMs > 0) await sleep(waitMs)
    while (underWay.size >= UNDER_WAY_MAX) await Promise.race(underWay)
    const one = work(i).finally(() => underWay.delete(one))
    underWay.add(one)
    one.catch(() => {})
  }
  await Promise.all(underWay)
}
