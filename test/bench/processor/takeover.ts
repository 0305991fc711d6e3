import { setTimeout as sleep } from 'node:timers/promises'
import { Flow } from './flow.ts'
import { PARTITIONS, type Site } from './site.ts'
import { UnderTest } from './under-test.ts'

const PER_SECOND = 200
const SETTLE_MS = 5_000
/** Longer than any takeover that is no failure. */
const AFTER_MS = 20_000

/**
 * Kills one of two processes that share the partitions: from the kill to the moment from which every partition's
 * events have visible outputs again, ms.
 */
export async function takeoverMs(site: Site): Promise<number> {
  const name = site.newName()
  const config = site.config(0)
  const survivor = await UnderTest.engine(site, config, name)
  await survivor.joined()
  const victim = await UnderTest.engine(site, config, name)
  try {
    await victim.joined()
    const flow = await Flow.start(site, PER_SECOND)
    await sleep(SETTLE_MS)
    const killedAt = Date.now()
    await victim.kill()
    await sleep(AFTER_MS)
    const deliveries = await flow.stop()
    const firsts = Array.from({ length: PARTITIONS }, (_, partition) => {
      const after = deliveries.filter(each => each.partition === partition && each.acceptedAt > killedAt)
      return Math.min(...after.map(({ visibleAt }) => visibleAt as number))
    })
    return Math.max(...firsts) - killedAt
  } finally {
    await Promise.all([survivor.stop(), victim.kill()])
  }
}
