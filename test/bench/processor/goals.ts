import type { RestoreCost } from '../claims/restore.ts'
import type { StoreCost } from '../claims/store.ts'
import type { Latency } from './latency.ts'
import { CONCURRENCY, SESSION_TIMEOUT_MS } from './site.ts'
import { type ContestantName, type Throughput, WAIT_MS } from './throughput.ts'

/** What was measured; what `--only` leaves out is absent. */
export type Results = Partial<Record<ContestantName, Throughput>> & {
  latency?: Latency
  takeoverMs?: number
  /** By the number of claims, ascending. */
  claims?: { readonly store: readonly StoreCost[]; readonly restore: readonly RestoreCost[] }
}

/** A measurement beside what it should be. */
export interface Judged {
  readonly what: string
  readonly measured: string
  readonly goal: string
  readonly reached: boolean
}

const TAKEOVER_SPARE_MS = 2_000

export function judge({ b, c, d, latency, takeoverMs, claims }: Results): Judged[] {
  const judged: Judged[] = []
  const atLeast = (what: string, value: number, goal: number, digits = 0) =>
    judged.push({
      what,
      measured: value.toFixed(digits),
      goal: `≥ ${goal.toFixed(digits)}`,
      reached: value >= goal,
    })
  const atMost = (what: string, ms: number, goalMs: number) =>
    judged.push({ what, measured: `${Math.round(ms)} ms`, goal: `≤ ${goalMs} ms`, reached: ms <= goalMs })

  if (c !== undefined) atLeast('c, events/s', c.perSecond, 10_000)
  if (b !== undefined && c !== undefined) atLeast('c / b', c.perSecond / b.perSecond, 0.5, 2)
  if (c !== undefined && d !== undefined) {
    const lesser = Math.min((CONCURRENCY / WAIT_MS) * 1_000, c.perSecond)
    atLeast('d / the lesser of concurrency / 10 ms and c', d.perSecond / lesser, 0.8, 2)
  }
  if (latency !== undefined) {
    atMost(`accept → handler start, p99 (p50 ${latency.handler.p50Ms} ms)`, latency.handler.p99Ms, 30)
    atMost(`accept → visible output, p99 (p50 ${latency.output.p50Ms} ms)`, latency.output.p99Ms, 150)
  }
  if (takeoverMs !== undefined) {
    atMost(
      'takeover after SIGKILL (session time-out + 2 s)',
      takeoverMs,
      SESSION_TIMEOUT_MS + TAKEOVER_SPARE_MS,
    )
  }
  if (claims !== undefined) {
    const { store, restore } = claims
    const [least, most] = [store.at(0), store.at(-1)] as [StoreCost, StoreCost]
    const ratioAtMost = (what: string, value: number, goal: number) =>
      judged.push({ what, measured: value.toFixed(2), goal: `≤ ${goal}`, reached: value <= goal })
    ratioAtMost('bytes of memory per claimed id', Math.max(...store.map(each => each.bytesPerId)), 40)
    if (c !== undefined) {
      const grown = c.cpuMicros + most.cpuMicros - least.cpuMicros
      ratioAtMost(`cost of an event at ${most.claims} ids / at ${least.claims}`, grown / c.cpuMicros, 1.1)
    }
    const [small, large] = [restore.at(0), restore.at(-1)] as [RestoreCost, RestoreCost]
    atLeast('restore from the topic, claims/s', large.topicPerSecond, 100_000)
    const slower = large.checkpointMs / small.checkpointMs
    ratioAtMost(`restore from a checkpoint, ${large.claims} claims / ${small.claims}`, slower, 2)
  }
  return judged
}
