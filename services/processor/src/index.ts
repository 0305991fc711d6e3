/**
 * What a processor module exports: `export default defineProcessor({ … })`.
 */
import { durationMs } from '@sallyport/core/duration'
import { SallyportError } from '@sallyport/core/errors'
import type { Event } from '@sallyport/core/event'
import type { Log } from '@sallyport/core/log'
import { checkProcessorName } from '@sallyport/core/topics'
import type { Span } from '@sallyport/core/trace'
import { retryAfterMs } from './retry-after.ts'

export type { Event } from '@sallyport/core/event'

/** What a handler gets beside the event. */
export interface HandlerContext {
  /**
   * Aborts when the attempt's time is up, the partition moves to another process, or this one stops. A handler that
   * ignores it is not waited for: nothing that it does later counts, another attempt has its slot, and the next one at
   * this event may run beside it.
   */
  readonly signal: AbortSignal
  /**
   * The same for every attempt at this event (and another one when an operator redrives or replays it). Hand it to
   * what you call, so that a repeated attempt takes effect there once: handlers run at least once.
   */
  readonly idempotencyKey: string
  /** Number of this attempt; 1 is the first. */
  readonly attempt: number
  /**
   * Grows with every owner of the event's partition. Handlers are not fenced: one that runs on after its process lost
   * the partition may act beside its successor. A store that refuses a smaller epoch than it has seen for the same
   * `idempotencyKey` keeps the older one out.
   */
  readonly epoch: number
  /** The `settings` of the processor's entry in sallyport.yaml. */
  readonly settings: Readonly<Record<string, unknown>>
  readonly log: Log
  /** The attempt's span; its context is active while the handler runs. */
  readonly span: Span
  /**
   * Adds a record to what this attempt writes: it appears in Kafka if and only if the attempt succeeds, once. The
   * value must fit the schema that `outputs` names for the topic. The key is the event id unless given; then the
   * partition follows the key. Throws `SP_EMIT` (the attempt fails, fatally).
   */
  emit(topic: string, value: unknown, options?: { readonly key?: string }): void
}

export type Handler = (event: Event, context: HandlerContext) => Promise<void> | void

/**
 * What follows from a failure: `retry`, the next tier; `outage`, the same, and it counts for the circuit breaker;
 * `fatal`, the dead letter at once.
 */
export type FailureRule = 'retry' | 'outage' | 'fatal'

/** The circuit breaker; the states are in breaker.ts. */
export interface BreakerDefinition {
  /** Attempts that are older do not count. Default: 1m. */
  readonly window?: string
  /** Share of failures among the last attempts (at most 100) from which it opens. Default: 0.5. */
  readonly errorRate?: number
  /** With fewer attempts in the window it stays closed. Default: 20. */
  readonly attemptsMin?: number
  /** How long it waits for the first probe; each probe that fails doubles it. Default: 1s. */
  readonly pause?: string
  /** Longest wait between probes; not below `pause`. Default: 1m. */
  readonly pauseMax?: string
}

export interface ProcessorDefinition {
  /** Stands in topic names and is the consumer group `sallyport.<name>`. */
  readonly name: string
  /** Told in dead letters. Default: `0`. */
  readonly version?: string
  /** Names of the sources whose events it handles. Default: all. */
  readonly sources?: readonly string[]
  /** Delays of the retry tiers, in order; as many retries as tiers, at most 16. Default: 5s, 30s, 5m. */
  readonly retry?: readonly string[]
  /**
   * Longest run of one attempt, up to 1d. Default: 30s. Without retry tiers a quarter of the shortest window at most: one that
   * runs for longer goes on beside a record in the first tier, so that its partition’s position can pass it.
   */
  readonly timeout?: string
  /** Handlers at once in one process. Default: 100. */
  readonly concurrency?: number
  /** When attempts fail too often the intake is held, and probed. */
  readonly breaker?: BreakerDefinition
  /**
   * What failures mean: rules by error code (`ECONNREFUSED`), error name or class (`TypeError`), error type, or HTTP
   * status (`404`), of the error or of its causes; `timeout` for the deadline, `unknown` for the rest. Default: `outage`
   * for time-outs, for connections that fail (`ECONNREFUSED`, `APIConnectionError` …), for every 5xx, 408, 425 and 429,
   * and for what clouds call throttling; `retry` for the rest.
   */
  readonly failures?: Readonly<Record<string, FailureRule>>
  /** Output topic → schema: the name of a file in `schemas/` without `.avsc`. */
  readonly outputs?: Readonly<Record<string, string>>
  readonly handler: Handler
}

/** A definition whose defaults are filled in. */
export type Processor = Required<Omit<ProcessorDefinition, 'sources'>> & {
  /** null: all sources. */
  readonly sources: readonly string[] | null
}

/** Declares a processor. Throws `SP_PROCESSOR` or `SP_SETTINGS`, naming what is wrong. */
export function defineProcessor(definition: ProcessorDefinition): Processor {
  checkProcessorName(definition.name)
  const { name } = definition
  const processor: Processor = {
    name,
    version: definition.version ?? '0',
    sources: definition.sources ?? null,
    retry: definition.retry ?? ['5s', '30s', '5m'],
    timeout: definition.timeout ?? '30s',
    concurrency: definition.concurrency ?? 100,
    breaker: definition.breaker ?? {},
    failures: definition.failures ?? {},
    outputs: definition.outputs ?? {},
    handler: definition.handler,
  }
  for (const [i, delay] of processor.retry.entries()) durationMs(delay, `${name}.retry[${i}]`)
  durationMs(processor.timeout, `${name}.timeout`)
  if (!Number.isInteger(processor.concurrency) || processor.concurrency < 1) {
    throw new SallyportError(
      'SP_PROCESSOR',
      `${name}.concurrency is ${processor.concurrency}: set a whole number from 1`,
    )
  }
  if (typeof processor.handler !== 'function') {
    throw new SallyportError('SP_PROCESSOR', `${name} has no handler: give it handler(event, context)`)
  }
  return processor
}

/**
 * Thrown by a handler: try again after `delay` (the shortest tier that is long enough, else the last one). It counts
 * as an attempt, and not for the circuit breaker.
 */
export class RetryLater extends Error {
  readonly delayMs: number
  /** Whether a downstream service asked for it: that counts for the circuit breaker. */
  readonly isPushback: boolean = false

  constructor(delay: string, message = `retry in ${delay}`) {
    super(message)
    this.name = 'RetryLater'
    this.delayMs = durationMs(delay, 'RetryLater')
  }

  /**
   * What a downstream's 429 or 503 asks for: its Retry-After, in seconds or as a date (measured from its own Date
   * where it sends one, so that clocks need not agree). `otherwise` where it says nothing that can be read.
   */
  static fromResponse(response: RefusingResponse, otherwise: string): RetryLater {
    const askedMs = retryAfterMs(response.headers, Date.now())
    const delay = askedMs === undefined ? otherwise : `${askedMs}ms`
    return new Pushback(delay, `the downstream answered ${response.status}: retry in ${delay}`)
  }
}

class Pushback extends RetryLater {
  override readonly isPushback = true
}

/** What `RetryLater.fromResponse` needs of a response; that of `fetch` has it. */
export interface RefusingResponse {
  readonly status: number
  readonly headers: { get(name: string): string | null }
}

/** Thrown by a handler: no retry can help; the event goes to the dead letter at once. */
export class Fatal extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'Fatal'
  }
}
