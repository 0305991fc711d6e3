/** What a partition's claims cost in this process: CPU, memory, and the longest call. */
import type { Claim } from '@sallyport/processor/claim'
import { ClaimStore } from '@sallyport/processor/claim-store'
import { ClaimsBudget } from '@sallyport/processor/claims-budget'

export interface StoreCost {
  readonly claims: number
  /** CPU of one look-up and one new claim, on the way up from the row before. */
  readonly cpuMicros: number
  readonly bytesPerId: number
  readonly longestMs: number
}

/** One store on its way up to these sizes. */
export function storeCosts(sizes: readonly number[]): StoreCost[] {
  const claim: Claim = { state: 'DONE', generation: 0, attempt: 1, windowMs: 86_400_000, at: Date.now() }
  fill(emptyStore(), 0, 50_000, claim)
  const store = emptyStore()
  let from = 0
  return sizes.map(claims => {
    const before = process.cpuUsage()
    const longestMs = fill(store, from, claims, claim)
    const { user, system } = process.cpuUsage(before)
    const cpuMicros = (user + system) / (claims - from)
    from = claims
    return { claims, cpuMicros, bytesPerId: store.bytes / store.size, longestMs }
  })
}

function emptyStore(): ClaimStore {
  return new ClaimStore(new ClaimsBudget(Number.MAX_SAFE_INTEGER, () => {}))
}

function fill(store: ClaimStore, from: number, to: number, claim: Claim): number {
  let longestMs = 0
  for (let i = from; i < to; i++) {
    const eventId = idOf(i)
    const startedAt = performance.now()
    if (store.get(eventId, claim.at) !== undefined) throw new Error(`${eventId} was there already`)
    store.set(eventId, claim, claim.at)
    longestMs = Math.max(longestMs, performance.now() - startedAt)
  }
  return longestMs
}

export function idOf(i: number): string {
  return `github/${i.toString(16).padStart(8, '0')}-72d3-4f5e-8f11-5a0c1b2d3e4f`
}
