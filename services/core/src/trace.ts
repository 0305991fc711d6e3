/**
 * One trace per accepted delivery: the ingress's server span is its root, the record headers carry the context,
 * and every retry hop and the dead letter continue it.
 *
 * Without an exporter the API's spans record nothing and have no ids. The trace id is still wanted (in answers,
 * logs and dead letters), so `startRoot` then makes one up and marks it as not sampled.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Attributes,
  type Context,
  context,
  isSpanContextValid,
  type Link,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api'
import { parseTraceParent } from '@opentelemetry/core'
import { errorMessage } from './errors.ts'
import type { Log } from './log.ts'

export { context, isSpanContextValid, type Span, type SpanContext, SpanKind, trace }

const tracer = trace.getTracer('sallyport')

/**
 * A server span that starts a trace of our own. The caller's `traceparent` is linked, not trusted as parent: a
 * stranger must not choose our trace ids or our sampling.
 */
export function startRoot(name: string, callerTraceparent: string | undefined): Span {
  const caller = callerTraceparent === undefined ? null : parseTraceParent(callerTraceparent)
  const links: Link[] = caller === null ? [] : [{ context: caller }]
  const span = tracer.startSpan(name, { kind: SpanKind.SERVER, root: true, links }, ROOT_CONTEXT)
  if (isSpanContextValid(span.spanContext())) return span
  return trace.wrapSpanContext(unsampledContext())
}

/** A span under `parent`. */
export function startChild(name: string, kind: SpanKind, parent: Context, attributes: Attributes = {}): Span {
  return tracer.startSpan(name, { kind, attributes }, parent)
}

/** The context in which `span` is the current one. */
export function contextOf(span: Span): Context {
  return trace.setSpan(ROOT_CONTEXT, span)
}

/** The context that a record's `traceparent` names; the root context where it has none that can be read. */
export function contextFromHeader(traceparent: string | undefined): Context {
  const remote = traceparent === undefined ? null : parseTraceParent(traceparent)
  if (remote === null) return ROOT_CONTEXT
  return trace.setSpanContext(ROOT_CONTEXT, { ...remote, isRemote: true })
}

/** The `traceparent` of a span (W3C Trace Context, version 00). */
export function traceparentOf(span: Span): string {
  const { traceId, spanId, traceFlags } = span.spanContext()
  return `00-${traceId}-${spanId}-0${(traceFlags & TraceFlags.SAMPLED).toString(16)}`
}

/** The trace id in a `traceparent`, 32 hex digits, or undefined. */
export function traceIdOf(traceparent: string | undefined): string | undefined {
  return (traceparent === undefined ? null : parseTraceParent(traceparent))?.traceId
}

/** Ends a span as failed, with the error's message. */
export function endFailed(span: Span, error: unknown): void {
  span.setStatus({ code: SpanStatusCode.ERROR, message: errorMessage(error) })
  span.end()
}

/**
 * Random ids from a block of random bytes: one system call for many spans, which matters where every request
 * needs a trace id although nothing is exported.
 */
const IDS_BYTES = 24
const BLOCK_BYTES = IDS_BYTES * 256
let block = Buffer.alloc(0)
let used = 0

function unsampledContext(): SpanContext {
  if (used === block.length) {
    block = randomBytes(BLOCK_BYTES)
    used = 0
  }
  const ids = block.toString('hex', used, used + IDS_BYTES)
  used += IDS_BYTES
  return { traceId: ids.slice(0, 32), spanId: ids.slice(32), traceFlags: TraceFlags.NONE }
}

/** How long the last spans may take to reach their collector, ms. */
const FLUSH_MS_MAX = 2_000

/**
 * Starts OpenTelemetry's SDK when `OTEL_EXPORTER_OTLP_ENDPOINT` is set: spans go there by OTLP, sampling and the
 * rest by the standard OTEL_* variables. Otherwise nothing is loaded. Returns what flushes and stops it: a collector
 * that hangs or is away costs spans, and neither keeps the process nor changes how it ends.
 */
export async function startTracing(
  service: string,
  env: NodeJS.ProcessEnv,
  log: Log,
): Promise<() => Promise<void>> {
  if (!env.OTEL_EXPORTER_OTLP_ENDPOINT) return async () => {}
  const { NodeSDK } = await import('@opentelemetry/sdk-node')
  const sdk = new NodeSDK({ serviceName: env.OTEL_SERVICE_NAME ?? `sallyport-${service}` })
  sdk.start()
  return async () => {
    const late = sleep(FLUSH_MS_MAX).then(() => {
      throw new Error(`no answer within ${FLUSH_MS_MAX} ms`)
    })
    try {
      await Promise.race([sdk.shutdown(), late])
    } catch (error) {
      log.warn({ error: errorMessage(error) }, 'the last spans did not reach their collector')
    }
  }
}
