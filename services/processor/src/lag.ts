/**
 * How far one processor's tasks in this process are behind, and whether a transaction that was left open holds them up.
 *
 * - Records: from the position, which passes markers and aborted records too, to the partition's end.
 * - Time: since the oldest unsettled record was appended (in a tier: since it was due), by the brokers' clock.
 * - Behind the window: the events have waited for longer than the claims of some hold (the shortest window that the
 *   settings name or that an event had), so that dedupe no longer covers them.
 * - Stalled: the last stable offset has stood still below the end for longer than the setting. Committed reading stops
 *   there, so nothing else shows it. What the tasks write is looked at too.
 */
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import type { PartitionEnd, PartitionEnds } from '@sallyport/core/kafka/partition-ends'
import type { Log } from '@sallyport/core/log'
import * as metrics from '@sallyport/core/metrics'
import type { InputSpec } from './inputs.ts'
import { isStalled, stalledError } from './stalled.ts'

/** Where a task stands in one of its inputs. */
export interface InputProgress {
  readonly spec: InputSpec
  readonly partition: number
  readonly position: number
  /** Append time of the oldest unsettled record that was taken, ms. */
  readonly oldestAt: number | undefined
  /** Now, by the brokers' clock. */
  readonly now: number
  /** The shortest time that claims hold here, ms. */
  readonly windowMs: number
}

export interface LagSettings {
  readonly lagIntervalMs: number
  readonly stableOffsetStallMs: number
}

export class LagWatch {
  readonly #processor: string
  readonly #settings: LagSettings
  readonly #ends: PartitionEnds
  readonly #progress: () => readonly InputProgress[]
  /** Topics that its tasks write: what stalls there holds up other readers, and this partition's next owner. */
  readonly #written: readonly string[]
  readonly #log: Log
  /** When an input was last seen without lag, by place; ms. */
  readonly #caughtUpAt = new Map<string, number>()
  /** Since when a stable offset stands where it is, by place. */
  readonly #stable = new Map<
    string,
    { readonly end: PartitionEnd; readonly since: number; alarmed: boolean }
  >()
  /** Places whose events have waited for longer than the window. */
  readonly #behindWindow = new Set<string>()
  #places = new Map<string, InputProgress>()
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(
    processor: string,
    settings: LagSettings,
    ends: PartitionEnds,
    progress: () => readonly InputProgress[],
    written: readonly string[],
    log: Log,
  ) {
    this.#processor = processor
    this.#settings = settings
    this.#ends = ends
    this.#progress = progress
    this.#written = written
    this.#log = log
  }

  start(): void {
    this.#timer = setTimeout(() => {
      void this.#look().finally(() => {
        if (!this.#stopped) this.start()
      })
    }, this.#settings.lagIntervalMs)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    this.#forgetAllBut(new Map())
    await this.#ends.close().catch(() => {})
  }

  async #look(): Promise<void> {
    const places = new Map(this.#progress().map(input => [placeOf(input), input]))
    this.#forgetAllBut(places)
    if (places.size === 0) return
    try {
      const inputs = [...places.values()]
      const topics = [...new Set([...inputs.map(({ spec }) => spec.topic), ...this.#written])]
      const ends = await this.#ends.read(topics, [...new Set(inputs.map(({ partition }) => partition))])
      for (const end of ends) {
        if (this.#stopped) return
        const input = places.get(`${end.topic}/${end.partition}`)
        if (input !== undefined) this.#reportLag(input, end)
        this.#reportStall(end)
      }
    } catch (error) {
      this.#log.debug({ error: errorMessage(error) }, 'the ends of the partitions cannot be had')
    }
  }

  #reportLag(input: InputProgress, { highWatermark }: PartitionEnd): void {
    const place = placeOf(input)
    const records = lagRecords(input, highWatermark)
    if (records === 0) this.#caughtUpAt.set(place, input.now)
    const caughtUpAt = this.#caughtUpAt.get(place) ?? input.now
    this.#caughtUpAt.set(place, caughtUpAt)
    const ms = records === 0 ? 0 : lagMs(input, caughtUpAt)
    const labels = this.#labels(input.spec.topic, input.partition)
    metrics.lagRecords.set(labels, records)
    metrics.lagSeconds.set(labels, ms / 1_000)
    if (input.spec.kind === 'events') this.#reportWindow(place, ms, input.windowMs)
  }

  #reportWindow(place: string, ms: number, windowMs: number): void {
    if (ms <= windowMs) {
      this.#behindWindow.delete(place)
      return
    }
    if (this.#behindWindow.has(place)) return
    this.#behindWindow.add(place)
    const error = new SallyportError(
      'SP_BEHIND_WINDOW',
      `${place} has an event that ${this.#processor} has left waiting for ${Math.round(ms / 1_000)} s, longer than the shortest window of its events, ${windowMs / 1_000} s: what repeats an event that was processed before it is a new event by now; look for a pause (sallyport resume ${this.#processor}) or for what holds it up, or lengthen the window`,
    )
    this.#log.warn({ place, waitingMs: ms, windowMs }, error.message)
  }

  #reportStall(end: PartitionEnd): void {
    const { topic, partition, highWatermark, stableOffset } = end
    const place = `${topic}/${partition}`
    const before = this.#stable.get(place)
    if (!isStalled(end) || before?.end.stableOffset !== stableOffset) {
      if (before?.alarmed) this.#log.info({ place }, 'the last stable offset moves again')
      this.#stable.set(place, { end, since: performance.now(), alarmed: false })
      metrics.stableOffsetStalled.remove(this.#labels(topic, partition))
      return
    }
    const standsMs = performance.now() - before.since
    if (before.alarmed || standsMs < this.#settings.stableOffsetStallMs) return
    before.alarmed = true
    metrics.stableOffsetStalled.set(this.#labels(topic, partition), 1)
    this.#log.error(
      { topic, partition, stableOffset, highWatermark },
      errorMessage(stalledError(end, standsMs)),
    )
  }

  /** Partitions that moved to another process are that one's to report. */
  #forgetAllBut(places: Map<string, InputProgress>): void {
    for (const [place, input] of this.#places) {
      if (places.has(place)) continue
      const labels = this.#labels(input.spec.topic, input.partition)
      metrics.lagRecords.remove(labels)
      metrics.lagSeconds.remove(labels)
      this.#caughtUpAt.delete(place)
      this.#behindWindow.delete(place)
    }
    const partitions = new Set([...places.values()].map(({ partition }) => partition))
    for (const [place, { end }] of this.#stable) {
      if (partitions.has(end.partition)) continue
      metrics.stableOffsetStalled.remove(this.#labels(end.topic, end.partition))
      this.#stable.delete(place)
    }
    this.#places = places
  }

  #labels(topic: string, partition: number): { processor: string; topic: string; partition: string } {
    return { processor: this.#processor, topic, partition: String(partition) }
  }
}

/** Records between the position and the end. */
export function lagRecords({ position }: InputProgress, highWatermark: number): number {
  return Math.max(0, highWatermark - position)
}

/** How long the oldest record has been waiting; where none was fetched yet, since the input was last caught up. */
export function lagMs({ spec, oldestAt, now }: InputProgress, caughtUpAt: number): number {
  if (oldestAt === undefined) return Math.max(0, now - caughtUpAt)
  const delayMs = Number.isFinite(spec.delayMs) ? spec.delayMs : 0
  return Math.max(0, now - oldestAt - delayMs)
}

function placeOf({ spec, partition }: InputProgress): string {
  return `${spec.topic}/${partition}`
}
