/** What an operation would do: counted from the topics, nothing written. */
import type { AuditState, OffsetRange, OperationKind, Selection } from '@sallyport/core/audit'
import { partitionOf } from '@sallyport/core/partition'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import { type Candidate, candidates } from './candidates.ts'
import { PLACE, parseOrigin } from './dead-letter.ts'
import { type Desk, topicsOf } from './desk.ts'

export interface PlanRequest {
  readonly kind: OperationKind
  readonly processor: string
  readonly selection: Selection
  readonly command: string
  /** At most so many records. */
  readonly limit?: number
}

export interface Plan extends PlanRequest {
  readonly ranges: readonly OffsetRange[]
  readonly count: number
  /** Selected, but already waiting, processed or discarded. */
  readonly leftOut: Readonly<Record<'waiting' | 'processed' | 'discarded', number>>
  readonly bySource: Readonly<Record<string, number>>
  /** Dead letters by their reason. */
  readonly byReason: Readonly<Record<string, number>>
  readonly oldestAt: number | null
  readonly newestAt: number | null
  readonly sample: readonly Candidate[]
  /** Ids of the selection that no dead letter has. */
  readonly unknownIds: readonly string[]
}

const SAMPLE_MAX = 5
/** A foreign producer can invent any number of sources. */
const GROUPS_MAX = 20

export async function plan(
  desk: Desk,
  state: AuditState,
  request: PlanRequest,
  onCounted: (count: number) => void,
): Promise<Plan> {
  const operations = state.operations(request.processor)
  const tally = new Tally(request.selection.ids)
  const ranges: OffsetRange[] = []
  const { home, elsewhere } = await rangesOf(desk, request)
  for (const range of [...home, ...elsewhere]) {
    if (elsewhere.includes(range) && tally.hasAllIds) break
    let { until } = range
    for await (const candidate of candidates(desk, { ...request, operations }, range)) {
      tally.take(candidate)
      onCounted(tally.count)
      if (tally.count !== request.limit) continue
      until = candidate.record.offset + 1
      break
    }
    ranges.push({ ...range, until })
    if (tally.count === request.limit) break
  }
  return { ...request, ranges, ...tally.result() }
}

/** Whether a candidate is sent or hidden. */
export function isSelected({ state }: Candidate): boolean {
  return state === 'dead' || state === 'event'
}

/** Of a selection by ids: where their letters should be, and where they were before the topics grew. */
async function rangesOf(
  desk: Desk,
  { kind, processor, selection }: PlanRequest,
): Promise<Record<'home' | 'elsewhere', OffsetRange[]>> {
  const topic = kind === 'REPLAY' ? EVENTS_TOPIC : topicsOf(processor).deadLetter
  const bounds = await desk.reader.bounds(topic)
  if (kind !== 'REPLAY') {
    const named = partitionsOf(selection.ids, bounds.size)
    const all = [...bounds].map(([partition, { low, high }]) => ({ partition, from: low, until: high }))
    const isHome = ({ partition }: OffsetRange): boolean => named?.has(partition) ?? true
    return { home: all.filter(isHome), elsewhere: all.filter(range => !isHome(range)) }
  }
  const from = selection.from === null ? undefined : await desk.reader.offsetsAt(topic, selection.from)
  const until = selection.to === null ? undefined : await desk.reader.offsetsAt(topic, selection.to)
  const home = [...bounds].map(([partition, { low, high }]) => ({
    partition,
    from: from?.get(partition) ?? low,
    until: until?.get(partition) ?? high,
  }))
  return { home, elsewhere: [] }
}

/** The partitions that letters of these identities lie on, unless the topics have grown since; undefined: any. */
export function partitionsOf(ids: readonly string[], count: number): Set<number> | undefined {
  if (ids.length === 0) return undefined
  return new Set(
    ids.map(id =>
      id.startsWith(PLACE)
        ? (parseOrigin(id.slice(PLACE.length))?.partition ?? 0)
        : partitionOf(Buffer.from(id), count),
    ),
  )
}

class Tally {
  readonly #unknown: Set<string>
  readonly #leftOut = { waiting: 0, processed: 0, discarded: 0 }
  readonly #bySource = new Map<string, number>()
  readonly #byReason = new Map<string, number>()
  readonly #sample: Candidate[] = []
  #oldestAt: number | null = null
  #newestAt: number | null = null
  count = 0

  constructor(ids: readonly string[]) {
    this.#unknown = new Set(ids)
  }

  take(candidate: Candidate): void {
    this.#unknown.delete(candidate.id)
    if (!isSelected(candidate)) {
      const { state } = candidate
      if (state === 'waiting' || state === 'processed' || state === 'discarded') this.#leftOut[state]++
      return
    }
    const { timestamp } = candidate.record
    this.count++
    this.#oldestAt = Math.min(this.#oldestAt ?? timestamp, timestamp)
    this.#newestAt = Math.max(this.#newestAt ?? timestamp, timestamp)
    add(this.#bySource, candidate.source)
    if (candidate.state === 'dead') add(this.#byReason, candidate.reason)
    if (this.#sample.length < SAMPLE_MAX) this.#sample.push(candidate)
  }

  get hasAllIds(): boolean {
    return this.#unknown.size === 0
  }

  result(): Omit<Plan, keyof PlanRequest | 'ranges'> {
    return {
      count: this.count,
      leftOut: this.#leftOut,
      bySource: Object.fromEntries(this.#bySource),
      byReason: Object.fromEntries(this.#byReason),
      oldestAt: this.#oldestAt,
      newestAt: this.#newestAt,
      sample: this.#sample,
      unknownIds: [...this.#unknown],
    }
  }
}

function add(groups: Map<string, number>, name: string): void {
  const group = groups.has(name) || groups.size < GROUPS_MAX ? name : 'others'
  groups.set(group, (groups.get(group) ?? 0) + 1)
}
