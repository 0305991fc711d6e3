import { setTimeout as sleep } from 'node:timers/promises'
import { Random } from '../../chaos/processor/random.ts'
import type { KafkaRequest } from './request.ts'
import type { Matches, Rule, SendAgain } from './rule.ts'

/** What can happen to a request by chance. */
export type Deed = 'delay' | 'overtake' | 'duplicate' | 'drop' | 'cut'

export interface Chances {
  /** Which requests something can happen to. */
  readonly matches: Matches
  /** For each deed, of how many requests in a hundred it befalls one; their sum is 100 at most. */
  readonly percent: Readonly<Partial<Record<Deed, number>>>
  /** A delay, or the time until a request that is overtaken goes, is this long at most, ms. */
  readonly delayMsMax: number
  /** A copy comes this long after the request at most, ms; half of them come within a tenth of it. */
  readonly copyMsMax: number
  readonly sendAgain: SendAgain
  /** Hears of everything that is done. */
  readonly onDeed?: (deed: Deed, request: KafkaRequest, ms: number) => void
}

/**
 * Does deeds by chance. What befalls the nth request of an API follows from the seed, `n` and the API alone, so that a
 * seed does the same to the same requests, whatever else passes meanwhile.
 */
export function randomRule(seed: number, chances: Chances): Rule {
  const counts = new Map<string, number>()
  return async request => {
    if (!chances.matches(request)) return undefined
    const n = (counts.get(request.api) ?? 0) + 1
    counts.set(request.api, n)
    const random = Random.of(seed, `${request.api} ${n}`)
    const deed = drawn(random.between(0, 99), chances.percent)
    if (deed === undefined) return undefined
    const copyMs = random.between(0, random.next() < 0.5 ? chances.copyMsMax / 10 : chances.copyMsMax)
    const ms = deed === 'duplicate' ? copyMs : random.between(0, chances.delayMsMax)
    chances.onDeed?.(deed, request, ms)
    switch (deed) {
      case 'delay':
        await sleep(ms)
        return undefined
      case 'overtake':
        return { asideUntil: sleep(ms) }
      case 'duplicate':
        void sleep(ms).then(() => chances.sendAgain(request).catch(() => {}))
        return undefined
      default:
        return { answer: deed }
    }
  }
}

function drawn(percentile: number, percent: Chances['percent']): Deed | undefined {
  let below = 0
  for (const [deed, share] of Object.entries(percent) as [Deed, number][]) {
    below += share
    if (percentile < below) return deed
  }
  return undefined
}
