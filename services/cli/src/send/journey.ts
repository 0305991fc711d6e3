/** The way of sent events through the processors, told step by step as it goes. */
import { durationText } from '@sallyport/core/duration'
import type { TopicReader } from '@sallyport/core/kafka/topic-reader'
import { colors } from '../colors.ts'
import { print, printRecord } from '../output.ts'
import { printable } from '../printable.ts'
import type { Step } from './follow.ts'

/** An event that was accepted. */
export interface SentEvent {
  readonly eventId: string
  readonly traceId: string | undefined
}

export interface JourneyOptions {
  readonly processors: readonly string[]
  readonly timeoutMs: number
  readonly json: boolean
}

const ID_CHARS = 16

export class Journey {
  /** What reads the topics; set once it does. */
  tail: TopicReader | undefined
  readonly #options: JourneyOptions
  /** Steps that came before their event's answer. */
  readonly #early: Step[] = []
  readonly #open = new Set<string>()
  readonly #traces = new Map<string, string | undefined>()
  readonly #ends = { processed: 0, 'dead letter': 0 }
  readonly #done = Promise.withResolvers<void>()
  #sent = false

  constructor(options: JourneyOptions) {
    this.#options = options
  }

  arrived(step: Step): void {
    if (!this.#sent) {
      this.#early.push(step)
      return
    }
    const place = `${step.processor} ${step.eventId}`
    if (!this.#open.has(place)) return
    const traceId = step.traceId ?? this.#traces.get(step.eventId)
    void (this.#options.json ? printRecord({ ...step, traceId }) : print(`  ${describe(step, traceId)}`))
    if (!step.isEnd || step.kind === 'retry') return
    this.#ends[step.kind]++
    this.#open.delete(place)
    if (this.#open.size === 0) this.#done.resolve()
  }

  /**
   * Resolves when every event has ended at every processor, or the time is up; tells whether all have. Throws
   * `SP_BROKER_UNREACHABLE`.
   */
  async untilEnd(events: readonly SentEvent[]): Promise<boolean> {
    for (const { eventId, traceId } of events) {
      this.#traces.set(eventId, traceId)
      for (const name of this.#options.processors) this.#open.add(`${name} ${eventId}`)
    }
    await this.#say('\nFollowing them to their end; Ctrl-C stops following, not the events')
    this.#sent = true
    for (const step of this.#early.splice(0)) this.arrived(step)
    const timer = setTimeout(() => this.#done.resolve(), this.#options.timeoutMs)
    await Promise.race([this.#done.promise, ...(this.tail === undefined ? [] : [this.tail.failed])])
    clearTimeout(timer)
    const still =
      this.#open.size === 0
        ? ''
        : `, ${this.#open.size} still on their way after ${durationText(this.#options.timeoutMs)}`
    await this.#say(
      `\n${events.length} accepted: ${this.#ends.processed} processed, ${this.#ends['dead letter']} in the dead letter${still}`,
    )
    return this.#open.size === 0
  }

  async stop(): Promise<void> {
    await this.tail?.stop()
  }

  async #say(text: string): Promise<void> {
    if (!this.#options.json) await print(text)
  }
}

function describe(step: Step, traceId: string | undefined): string {
  const id = `${step.eventId.slice(0, ID_CHARS)}…`
  const trace = colors.dim(`  trace ${traceId ?? 'unknown'}`)
  const reason = step.reason === undefined ? '' : `: ${printable(step.reason)}`
  switch (step.kind) {
    case 'processed':
      return `${id} ${step.processor} ${colors.green('processed')}, attempt ${step.attempt}${trace}`
    case 'retry': {
      const { number, of, delayMs } = step.tier as NonNullable<Step['tier']>
      return `${id} ${step.processor} attempt ${step.attempt} ${colors.yellow('failed')}, retry ${number} of ${of} in ${durationText(delayMs)}${reason}${trace}`
    }
    case 'dead letter':
      return `${id} ${step.processor} ${colors.red('dead letter')} after attempt ${step.attempt}, ${step.reason === undefined ? '' : printable(step.reason)}${trace}`
  }
}
