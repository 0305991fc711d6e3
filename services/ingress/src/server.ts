/**
 * The HTTP server, and the order of the stages for one delivery:
 *
 *     route → receive (1) → verify (2) → accept (3) → publish (4) → answer
 *
 * - S1. A 2xx for a delivery is written only after `publish` resolved for this request's own record. Nothing is
 *   answered from memory.
 * - S2. Nothing is remembered about a request that failed verification, except in counters by source and code.
 * - S3. Bytes taken from the budget are given back when the request is answered, whatever the answer.
 * - S4. No exception of a stage leaves `#deliver`: it becomes a 500 without its message.
 * - S5. An unknown source gets the same 404 whatever the method, before anything else is looked at.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Clock } from '@sallyport/core/clock'
import { errorMessage } from '@sallyport/core/errors'
import type { Log } from '@sallyport/core/log'
import { acceptSeconds, deliveriesTotal, inFlightBytes, previousSecretTotal } from '@sallyport/core/metrics'
import type { IngressSettings } from '@sallyport/core/settings'
import { type Span, SpanKind, startRoot, traceparentOf } from '@sallyport/core/trace'
import Koa from 'koa'
import { accept } from './accept.ts'
import { ByteBudget } from './byte-budget.ts'
import type { Door } from './config.ts'
import type { SenderResponse } from './delivery.ts'
import { answerHealth } from './health.ts'
import { type Problem, problem, rejection, tryAgain } from './problem.ts'
import { type PublishTarget, publish } from './publish.ts'
import type { Readiness } from './readiness.ts'
import { receive } from './receive.ts'
import { RefusalLog } from './refusal-log.ts'
import { answer, answerProblem, answerSender, type Linger } from './respond.ts'
import { pathOf, sourceOf, urlOf } from './route.ts'
import { spanned } from './spanned.ts'
import { answerTransportError } from './transport-errors.ts'
import { type VerifiedDelivery, verify } from './verify.ts'

export interface ServerParts {
  readonly settings: IngressSettings
  /** The sources by name, as they are now. */
  readonly doors: () => ReadonlyMap<string, Door>
  /** Undefined until topics and schema are known to exist. */
  readonly target: () => PublishTarget | undefined
  readonly readiness: Readiness
  readonly clock: Clock
  readonly log: Log
}

/** How one delivery ended. */
type Answer =
  | { readonly kind: 'accepted'; readonly eventId: string }
  | { readonly kind: 'challenged'; readonly code: string; readonly response: SenderResponse }
  | { readonly kind: 'refused'; readonly problem: Problem }
  | { readonly kind: 'gone' }

/** A delivery on its way through the stages. */
interface Passage {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly source: string
  readonly door: Door
  readonly target: PublishTarget
  readonly span: Span
}

/** How often Node looks for requests that are past their deadline. */
const TIMEOUT_CHECK_MS_MAX = 1_000
/** Up to how many bytes of a refused body are read for its sender's sake. */
const LINGER_BYTES_MAX = 64 * 1_048_576
const NO_SOURCE = '-'

/** An HTTP server that is not listening yet. */
export function createIngressServer(parts: ServerParts): Server {
  const { settings } = parts
  const ingress = new Ingress(parts)
  const app = new Koa()
  app.use(async ctx => {
    ctx.respond = false
    await ingress.handle(ctx.req, ctx.res)
  })
  // What reaches Koa are connections that broke while an answer was written.
  app.on('error', error => parts.log.debug({ error: errorMessage(error) }, 'a connection broke'))
  const handle = app.callback()
  const server = createServer(
    {
      requestTimeout: settings.bodyTimeoutMs,
      headersTimeout: settings.bodyTimeoutMs,
      connectionsCheckingInterval: Math.min(TIMEOUT_CHECK_MS_MAX, Math.ceil(settings.bodyTimeoutMs / 4)),
    },
    handle,
  )
  // Unheard, Node would answer "100 Continue" before anything is known about the request.
  server.on('checkContinue', handle)
  server.on('clientError', answerTransportError)
  server.on('close', () => ingress.close())
  return server
}

class Ingress {
  readonly #parts: ServerParts
  readonly #budget: ByteBudget
  readonly #refusals: RefusalLog
  readonly #linger: Linger

  constructor(parts: ServerParts) {
    const { settings, log } = parts
    this.#parts = parts
    this.#budget = new ByteBudget(settings.inFlightBytesMax)
    this.#refusals = new RefusalLog(log)
    this.#linger = { bytesMax: LINGER_BYTES_MAX, timeoutMs: settings.bodyTimeoutMs }
  }

  close(): void {
    this.#refusals.close()
  }

  /** Answers one request; never rejects. */
  async handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    if (this.#parts.readiness.state === 'draining') res.setHeader('Connection', 'close')
    const path = pathOf(req.url ?? '')
    const source = sourceOf(path)
    const door = source === undefined ? undefined : this.#parts.doors().get(source)
    if (source === undefined || door === undefined) {
      if (!answerHealth(path, res, this.#parts.readiness)) this.#refuse(res, NO_SOURCE, unknownSource())
      return
    }
    const target = this.#parts.target()
    if (!door.source.methods.has(req.method ?? '')) {
      this.#refuse(res, source, wrongMethod(door))
    } else if (target === undefined) {
      this.#refuse(res, source, this.#notReady())
    } else {
      await this.#pass({ req, res, source, door, target, span: this.#startSpan(req, source) })
    }
  }

  async #pass(passage: Passage): Promise<void> {
    const { res, span } = passage
    res.setHeader('traceresponse', traceparentOf(span))
    const given = await this.#deliver(passage)
    this.#answer(passage, given)
    if (span.isRecording()) {
      span.setAttribute('http.response.status_code', res.statusCode)
      if (given.kind === 'refused') span.setAttribute('error.type', given.problem.code)
    }
    span.end()
  }

  async #deliver(passage: Passage): Promise<Answer> {
    const { settings } = this.#parts
    const { req, res } = passage
    const receipt = await receive(req, res, urlOf(req, settings.publicUrl), settings, this.#budget)
    if (receipt.kind !== 'received') return receipt
    inFlightBytes.set(this.#budget.held)
    try {
      return await this.#verifyAndPublish(passage, receipt.request)
    } catch (error) {
      this.#parts.log.error({ source: passage.source, error }, 'a delivery failed unexpectedly')
      return { kind: 'refused', problem: problem('internal-error', 'Send the same delivery again.') }
    } finally {
      this.#budget.give(receipt.request.body.length)
      inFlightBytes.set(this.#budget.held)
    }
  }

  async #verifyAndPublish(passage: Passage, request: Parameters<typeof verify>[1]): Promise<Answer> {
    const { door, span } = passage
    const receivedAt = this.#parts.clock()
    const verification = await spanned(span, 'verify', SpanKind.INTERNAL, () =>
      verify(door.source, request, receivedAt),
    )
    switch (verification.kind) {
      case 'verified':
        return await this.#publish(passage, verification.delivery, receivedAt)
      case 'challenge':
        return { kind: 'challenged', code: verification.code, response: verification.response }
      case 'unavailable':
        return {
          kind: 'refused',
          problem: tryAgain(verification.code, verification.detail, this.#parts.settings.retryAfterMs),
        }
      case 'rejected':
        return {
          kind: 'refused',
          problem: rejection(verification.status, verification.code, verification.detail),
        }
    }
  }

  async #publish(passage: Passage, delivery: VerifiedDelivery, receivedAt: number): Promise<Answer> {
    const { source, door, target, span } = passage
    const event = accept(source, delivery, door.keep, receivedAt)
    if (event.secretIndex > 0) previousSecretTotal.inc({ source })
    try {
      await spanned(span, 'publish', SpanKind.PRODUCER, () => publish(target, event, traceparentOf(span)))
    } catch (error) {
      this.#parts.log.debug({ source, id: event.id, error: errorMessage(error) }, 'not published')
      return { kind: 'refused', problem: this.#notPublished() }
    }
    acceptSeconds.observe((this.#parts.clock() - receivedAt) / 1_000)
    return { kind: 'accepted', eventId: event.id }
  }

  #answer(passage: Passage, given: Answer): void {
    const { res, source, door, span } = passage
    switch (given.kind) {
      case 'accepted':
        this.#parts.log.debug({ source, id: given.eventId, trace: span.spanContext().traceId }, 'accepted')
        if (door.source.success !== null) answerSender(res, door.source.success)
        else answer(res, 200, 'application/json', JSON.stringify({ status: 'accepted', id: given.eventId }))
        deliveriesTotal.inc({ source, status: res.statusCode, code: 'accepted' })
        return
      case 'challenged':
        answerSender(res, given.response)
        deliveriesTotal.inc({ source, status: res.statusCode, code: given.code })
        return
      case 'refused':
        this.#refuse(res, source, given.problem)
        return
      case 'gone':
        deliveriesTotal.inc({ source, status: 0, code: 'gone' })
    }
  }

  #refuse(res: ServerResponse, source: string, refusal: Problem): void {
    answerProblem(res, refusal, this.#linger)
    deliveriesTotal.inc({ source, status: refusal.status, code: refusal.code })
    this.#refusals.refused(source, refusal)
  }

  #startSpan(req: IncomingMessage, source: string): Span {
    const attributes = {
      'http.request.method': req.method ?? '',
      'http.route': '/webhooks/:source',
      'sallyport.source': source,
    }
    return startRoot('POST /webhooks/:source', attributes, req.headers.traceparent as string | undefined)
  }

  #notReady(): Problem {
    const detail = 'The ingress is starting and cannot store deliveries yet. Send the same delivery again.'
    return tryAgain('not-ready', detail, this.#parts.settings.retryAfterMs)
  }

  #notPublished(): Problem {
    const detail =
      'Kafka did not acknowledge the event in time. Send the same delivery again; it counts once even if it arrives twice.'
    return tryAgain('not-published', detail, this.#parts.settings.retryAfterMs)
  }
}

function unknownSource(): Problem {
  return problem('unknown-source', 'Deliveries go to POST /webhooks/:source, with a source that is set up.')
}

function wrongMethod(door: Door): Problem {
  const allow = [...door.source.methods].join(', ')
  return problem('method-not-allowed', `Use ${allow}.`, { allow })
}
