import type { Context } from '@opentelemetry/api'
import type { SchemaTypes } from '@sallyport/core/contract'
import { SallyportError } from '@sallyport/core/errors'
import type { KafkaConfig } from 'kafkajs'

/** A schema of the contract: the name of a file in `schemas/`. */
export type SchemaName = keyof SchemaTypes

/** A record as the handler gets it. */
export interface SubscribedRecord<T> {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** The broker's append time, ms since the epoch. */
  readonly timestamp: number
  /** The record key: the event id, unless a processor chose another key for its output. */
  readonly key: string
  readonly value: T
  /** The CloudEvents attributes. */
  readonly cloudEvent: {
    readonly id: string
    readonly source: string
    readonly type: string
    /** RFC 3339. */
    readonly time: string
  }
  /**
   * The same whenever the same thing is delivered again: by Kafka after a crash, by the sender in time, or beyond the
   * dedupe window. Hand it to what you call, or keep it beside your effect in one database transaction.
   */
  readonly idempotencyKey: string
  /** The trace that the record belongs to, as OpenTelemetry's context; it is active while the handler runs. */
  readonly context: Context
  /** All headers as text; of one that stands twice the last. */
  readonly headers: Readonly<Record<string, string>>
}

/** A record that cannot be decoded, as it was read. */
export interface PoisonRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Readonly<Record<string, string>>
  /** Why, in one sentence. */
  readonly reason: string
}

export interface HandlerContext {
  /** Aborts when the partition moves to another member, or when stopping takes longer than `stopTimeoutMs`. */
  readonly signal: AbortSignal
  /** Number of this attempt; 1 is the first. */
  readonly attempt: number
}

export type LogLevel = 'debug' | 'warn' | 'error'

export interface SubscriberOptions<S extends SchemaName> {
  /** `host:port` of one or more brokers. Kafka's `bootstrap.servers`. */
  readonly brokers: readonly string[]
  /** TLS: true, or the options of `tls.connect`. Default: none. */
  readonly ssl?: KafkaConfig['ssl']
  /** SASL, as kafkajs takes it. Default: none. */
  readonly sasl?: KafkaConfig['sasl']
  readonly registry: {
    /** Base URL of a Confluent-compatible registry: `{url}/schemas/ids/1` answers. */
    readonly url: string
    /** Sent with each request, e.g. `authorization`. */
    readonly headers?: Readonly<Record<string, string>>
    /**
     * How long the registry must deny a schema, in its own words and while it still has others, before a record under
     * that id is poison, ms. Its partition waits meanwhile: for all unknown ids together at most twice this, then a
     * tenth of the time. Default: 30 s.
     */
    readonly doubtMs?: number
  }
  /** The consumer group: one per application. Its members share the partitions. */
  readonly groupId: string
  readonly topics: readonly string[]
  /** The schema of the topics' values: `event.v1` for `sallyport.events` and dead letters. */
  readonly schema: S
  /**
   * Where a group begins in a topic that it has never read: with all that is kept, or with what comes once its first
   * member has started. Partitions that the topic gets later are read from their first record. Default: `earliest`.
   */
  readonly start?: 'earliest' | 'latest'
  /** Pauses before the retries of a handler that threw, ms; as many retries as pauses. Default: 1 s, 5 s, 30 s. */
  readonly retryDelaysMs?: readonly number[]
  /** Most bytes that one fetch brings of one partition, and so what it has in memory. Default: 1 MiB. */
  readonly partitionBytesMax?: number
  /**
   * Kafka's `session.timeout.ms`: how soon another member takes over from one that died. From 1 s to 30 min, and within
   * what the brokers allow (`group.min.session.timeout.ms`: 6 s unless set otherwise). Default: 30 s.
   */
  readonly sessionTimeoutMs?: number
  /** How long stopping waits for the handlers that run before their signals abort. Default: 30 s. */
  readonly stopTimeoutMs?: number
  /**
   * Takes one record; those of a partition come one after the other, in order. Its offset is committed only after
   * this has resolved. It may run again for the same record: see `idempotencyKey`.
   */
  handler(record: SubscribedRecord<SchemaTypes[S]>, context: HandlerContext): Promise<void> | void
  /** Takes over a record that cannot be decoded; then it is passed over. Without it the subscription ends. */
  onPoison?(poison: PoisonRecord): Promise<void> | void
  /** Takes over a record whose every attempt threw; then it is passed over. Without it the subscription ends. */
  onExhausted?(record: SubscribedRecord<SchemaTypes[S]>, error: unknown): Promise<void> | void
  /** Default: warnings and errors as lines of JSON on standard error. */
  log?(level: LogLevel, message: string, fields: Readonly<Record<string, unknown>>): void
}

/** Options whose defaults are filled in. */
export type CheckedOptions<S extends SchemaName> = SubscriberOptions<S> &
  Required<
    Pick<
      SubscriberOptions<S>,
      'start' | 'retryDelaysMs' | 'partitionBytesMax' | 'sessionTimeoutMs' | 'stopTimeoutMs' | 'log'
    >
  >

/** Longest pause: setTimeout counts in 31 bits. */
const DELAY_MS_MAX = 2 ** 31 - 1

/** Fills in the defaults. Throws `SP_SETTINGS`, naming the option and what it should be. */
export function checkOptions<S extends SchemaName>(options: SubscriberOptions<S>): CheckedOptions<S> {
  const checked = {
    ...options,
    start: options.start ?? 'earliest',
    retryDelaysMs: options.retryDelaysMs ?? [1_000, 5_000, 30_000],
    partitionBytesMax: options.partitionBytesMax ?? 1_048_576,
    sessionTimeoutMs: options.sessionTimeoutMs ?? 30_000,
    stopTimeoutMs: options.stopTimeoutMs ?? 30_000,
    log: options.log ?? logToStderr,
  }
  need(checked.brokers.length > 0, 'brokers is empty: name one or more as host:port')
  need(checked.topics.length > 0, 'topics is empty: name one or more')
  need(checked.groupId !== '', 'groupId is empty: name your application’s consumer group')
  need(URL.canParse(checked.registry.url), 'registry.url is no URL: set it to the base of the registry’s API')
  for (const [name, value, min, max] of [
    ['partitionBytesMax', checked.partitionBytesMax, 0, DELAY_MS_MAX],
    ['sessionTimeoutMs', checked.sessionTimeoutMs, 1_000, 1_800_000],
    ['stopTimeoutMs', checked.stopTimeoutMs, 0, DELAY_MS_MAX],
    ['registry.doubtMs', checked.registry.doubtMs ?? 0, 0, DELAY_MS_MAX],
    ...checked.retryDelaysMs.map(delay => ['retryDelaysMs', delay, 0, DELAY_MS_MAX] as const),
  ] as const) {
    need(
      Number.isInteger(value) && value >= min && value <= max,
      `${name} has ${value}: set a whole number from ${min} to ${max}`,
    )
  }
  return checked
}

function need(holds: boolean, message: string): void {
  if (!holds) throw new SallyportError('SP_SETTINGS', message)
}

function logToStderr(level: LogLevel, message: string, fields: Readonly<Record<string, unknown>>): void {
  if (level === 'debug') return
  process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), level, message, ...fields })}\n`)
}
