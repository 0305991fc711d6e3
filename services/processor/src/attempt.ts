/**
 * Stage 7: run the agent under a deadline. The result says what came of it; nothing is thrown. A handler that
 * ignores its signal is not waited for: whatever it does later is discarded with its context.
 */
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import type { Event } from '@sallyport/core/event'
import type { Log } from '@sallyport/core/log'
import { context, type Span, trace } from '@sallyport/core/trace'
import type { Round } from './claim.ts'
import type { ProcessorConfig } from './config.ts'
import { Emitted } from './emitted.ts'
import { crashFailure, type Failure, failureOf, timeoutFailure } from './failure.ts'
import type { HandlerContext } from './index.ts'
import { type LooseEnd, type Origin, runAs, stackOf } from './loose-ends.ts'
import type { Output, OutputEncoder } from './outputs.ts'

export type AttemptResult =
  | { readonly kind: 'succeeded'; readonly outputs: readonly Output[] }
  | { readonly kind: 'failed'; readonly failure: Failure }
  /** The task lost its partition or stops: nothing may follow from this attempt. */
  | { readonly kind: 'abandoned' }

export interface AttemptInput {
  readonly event: Event
  readonly round: Round
  readonly span: Span
  /** Gives the attempt's log: making one costs more than most attempts need. */
  log(): Log
  /** Hears of the bytes that the handler emits. */
  hold(bytes: number): void
}

/**
 * The attempts of one task. What ends them early reaches them through a set, not through signals derived from the
 * task's: those took a tenth of the engine's CPU time, and most handlers never look at them.
 */
export class Attempts {
  readonly #processor: ProcessorConfig
  readonly #encoder: OutputEncoder
  readonly #taskSignal: AbortSignal
  readonly #epoch: number
  readonly #running = new Set<CutOff>()

  /** `taskSignal` aborts when the task ends; `epoch` is the task's. */
  constructor(processor: ProcessorConfig, encoder: OutputEncoder, epoch: number, taskSignal: AbortSignal) {
    this.#processor = processor
    this.#encoder = encoder
    this.#taskSignal = taskSignal
    this.#epoch = epoch
    const abandon = () => {
      for (const cutOff of this.#running) cutOff.cut(taskSignal.reason, 'task')
    }
    taskSignal.addEventListener('abort', abandon, { once: true })
  }

  async run(input: AttemptInput): Promise<AttemptResult> {
    if (this.#taskSignal.aborted) return { kind: 'abandoned' }
    const { timeoutMs, failures } = this.#processor
    const cutOff = new CutOff()
    const origin = this.#originOf(input, cutOff)
    const emitted = new Emitted(this.#encoder.limits)
    const handlerContext = this.#contextFor(input, cutOff, emitted)
    const timer = setTimeout(cutOffLate, timeoutMs, cutOff, timeoutMs)
    this.#running.add(cutOff)
    try {
      await this.#call(input, handlerContext, cutOff, origin)
      return { kind: 'succeeded', outputs: emitted.outputs }
    } catch (error) {
      if (this.#taskSignal.aborted) return { kind: 'abandoned' }
      if (cutOff.by === 'deadline') return { kind: 'failed', failure: timeoutFailure(timeoutMs, failures) }
      input.log().debug({ error: errorMessage(error), stack: stackOf(error) }, 'the handler threw')
      const failure = failureOf(error, failures)
      return { kind: 'failed', failure: cutOff.by === 'exception' ? crashFailure(failure) : failure }
    } finally {
      cutOff.ended = true
      origin.fail = undefined
      clearTimeout(timer)
      this.#running.delete(cutOff)
    }
  }

  #contextFor(
    { event, round, span, log, hold }: AttemptInput,
    cutOff: CutOff,
    emitted: Emitted,
  ): HandlerContext {
    const { name, settings } = this.#processor
    const encoder = this.#encoder
    return {
      get signal() {
        return cutOff.signal
      },
      idempotencyKey: idempotencyKey(name, event.id, round.generation),
      attempt: round.attempt,
      epoch: this.#epoch,
      settings,
      get log() {
        return log()
      },
      span,
      emit(topic, value, options) {
        if (cutOff.ended) throw emittedLate()
        hold(emitted.add(encoder.encode(topic, value, options?.key ?? event.id)))
      },
    }
  }

  #originOf({ event, round }: AttemptInput, cutOff: CutOff): Origin {
    return {
      processor: this.#processor.name,
      eventId: event.id,
      attempt: round.attempt,
      fail: (error, looseEnd) => cutOff.cut(error, looseEnd),
    }
  }

  /** Runs the handler to its end, or until it is cut off: a handler that ignores its signal is not waited for. */
  #call(
    { event, span }: AttemptInput,
    handlerContext: HandlerContext,
    cutOff: CutOff,
    origin: Origin,
  ): Promise<void> | void {
    const { handler } = this.#processor
    const called = context.with(trace.setSpan(context.active(), span), () =>
      runAs(origin, () => handler(event, handlerContext)),
    )
    if (called === undefined) return
    return new Promise((resolve, reject) => {
      cutOff.onCut = reject
      if (cutOff.by !== undefined) reject(cutOff.reason)
      Promise.resolve(called).then(resolve, reject)
    })
  }
}

/** What ends an attempt from outside. Its signal is made for handlers that ask for it. */
class CutOff {
  /** The attempt is over: nothing of its handler counts any more. */
  ended = false
  /** What cut it off: its deadline, the end of its task, or what its handler left running. */
  by: 'deadline' | 'task' | LooseEnd | undefined
  /** Why it was cut off; what was left running may have thrown anything. */
  reason: unknown
  onCut: ((reason: unknown) => void) | undefined
  #controller: AbortController | undefined

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.by !== undefined) this.#controller.abort(this.reason)
    }
    return this.#controller.signal
  }

  cut(reason: unknown, by: NonNullable<CutOff['by']>): void {
    if (this.by !== undefined) return
    this.by = by
    this.reason = reason
    this.#controller?.abort(reason)
    this.onCut?.(reason)
  }
}

/** The same for every attempt at an event in one generation. */
export function idempotencyKey(processor: string, eventId: string, generation: number): string {
  return generation === 0 ? `${processor}:${eventId}` : `${processor}:${eventId}:${generation}`
}

function cutOffLate(cutOff: CutOff, timeoutMs: number): void {
  cutOff.cut(
    new SallyportError(
      'SP_HANDLER_TIMEOUT',
      `the handler did not finish within ${timeoutMs} ms; it is not waited for`,
    ),
    'deadline',
  )
}

function emittedLate(): SallyportError {
  return new SallyportError(
    'SP_EMIT',
    'emit was called after the attempt had ended: await what the handler starts',
  )
}
