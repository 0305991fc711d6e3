import { setTimeout as sleep } from 'node:timers/promises'
import { Flow } from './flow.ts'
import type { Site } from './site.ts'
import { UnderTest } from './under-test.ts'

/** From accept, ms. */
export interface Latency {
  readonly handler: Quantiles
  readonly output: Quantiles
}

interface Quantiles {
  readonly p50Ms: number
  readonly p99Ms: number
}

const WARM_UP_S = 15

/** From accept to the handler's start and to the visible output, at a steady rate. */
export async function latencyAt(site: Site, perSecond: number, seconds: number): Promise<Latency> {
  const process = await UnderTest.engine(site, site.config(0), site.newName())
  try {
    await process.joined()
    const flow = await Flow.start(site, perSecond)
    await sleep((WARM_UP_S + seconds) * 1_000)
    const deliveries = (await flow.stop()).slice(WARM_UP_S * perSecond)
    return {
      handler: quantiles(deliveries.map(each => (each.startedAt as number) - each.acceptedAt)),
      output: quantiles(deliveries.map(each => (each.visibleAt as number) - each.acceptedAt)),
    }
  } finally {
    await process.stop()
  }
}

function quantiles(values: readonly number[]): Quantiles {
  const sorted = [...values].sort((a, b) => a - b)
  const quantile = (q: number) => sorted[Math.floor(sorted.length * q)] as number
  return { p50Ms: quantile(0.5), p99Ms: quantile(0.99) }
}
