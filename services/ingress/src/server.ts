/**
 * The order of the stages for one delivery:
 *
 *     framing → HTTPS → route → method, length, encoding → address → failures → receive (1) → verify (2) → rate
 *           → accept (3) → publish (4) → answer
 *
 * - S1. A 2xx for a delivery is written only after `publish` resolved for this request's own record. Nothing is
 *   answered from memory.
 * - S2. Nothing is remembered about a request that failed verification, except in counters by source and code and in
 *   that of its address; the rate counts verified deliveries only.
 * - S3. Bytes taken from the budget are given back when the request is answered, whatever the answer.
 * - S4. No exception of a stage leaves `#deliver`: it becomes a 500 without its message.
 * - S5. An unknown source gets the same 404 whatever the method, before anything else of the request is looked at.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Clock } from '@sallyport/core/clock'
import { errorMessage } from '@sallyport/core/errors'
import type { Log } from '@sallyport/core/log'
import { acceptSeconds, countDelivery, previousSecretTotal } from '@sallyport/core/metrics'
import { peerOf } from '@sallyport/core/peer'
import type { IngressSettings } from '@sallyport/core/settings'
import { type Span, SpanKind, startRoot, traceparentOf } from '@sallyport/core/trace'
import Koa from 'koa'
import { accept } from './accept.ts'
import { ByteBudget } from './byte-budget.ts'
import { Caller } from './caller.ts'
import { CallerLimits, type CallerShare } from './caller-limits.ts'
import type { Door } from './config.ts'
import { ConnectionUse } from './connection-use.ts'
import type { SenderResponse } from './delivery.ts'
import { misframed } from './framing.ts'
import { completeHandshake } from './handshake.ts'
import { answerHealth } from './health.ts'
import type { Learning } from './learning.ts'
import { Networks } from './networks.ts'
import { closing, type Problem, problem, rejection, tryAgain } from './problem.ts'
import { fits, type PublishTarget, publish } from './publish.ts'
import type { Readiness } from './readiness.ts'
import { receive, refuseEarly, requestBytesMax } from './receive.ts'
import { RefusalLog } from './refusal-log.ts'
import { answerAccepted, answerProblem, answerSender } from './respond.ts'
import { nonceOf, pathOf, sourceOf, urlOf } from './route.ts'
import type { FetchText } from './schemes/fetch.ts'
import type { Challenge } from './schemes/handshakes.ts'
import { spanned } from './spanned.ts'
import { mayKnow, terse } from './terse.ts'
import { headersTooLarge } from './transport-errors.ts'
import { type Verification, type VerifiedDelivery, verify } from './verify.ts'

export interface ServerParts {
  readonly settings: IngressSettings
  /** The listener is reachable from this machine only. */
  readonly loopback: boolean
  /** The sources by name, as they are now. */
  readonly doors: () => ReadonlyMap<string, Door>
  /** Learns the secrets that senders hand over. */
  readonly learning: Pick<Learning, 'known' | 'learn'>
  /** Undefined until topics and schema are known to exist. */
  readonly target: () => PublishTarget | undefined
  readonly readiness: Readiness
  readonly clock: Clock
  readonly log: Log
  /** How subscriptions are confirmed; the default speaks https. */
  readonly fetchText?: FetchText
}

/** How one delivery ended. */
type Ending =
  | { readonly kind: 'accepted'; readonly eventId: string; readonly traceparent: string }
  | { readonly kind: 'challenged'; readonly code: string; readonly response: SenderResponse }
  | { readonly kind: 'refused'; readonly problem: Problem }
  | { readonly kind: 'gone' }

/** A delivery on its way through the stages. */
interface Passage {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly caller: Caller
  /** What the callers of its address hold and get wrong; null where they are not limited. */
  readonly share: CallerShare | null
  readonly source: string
  readonly door: Door
  readonly span: Span
}

const NO_SOURCE = '-'

/** The stages as what an HTTP server calls. */
export function createHandler(parts: ServerParts): RequestListener {
  const ingress = new Ingress(parts)
  const app = new App()
  app.use(ctx => {
    ctx.respond = false
    return ingress.handle(ctx.req, ctx.res)
  })
  // What reaches Koa are connections that broke while an answer was written.
  app.on('error', error => parts.log.debug({ error: errorMessage(error) }, 'a connection broke'))
  return app.callback()
}

/**
 * Koa without its watch over the end of every response, which costs a twentieth of a delivery: the ingress writes
 * its answers itself and never hands Koa a stream that could fail later.
 */
class App extends Koa {
  handleRequest(ctx: Koa.Context, run: (ctx: Koa.Context) => Promise<void>): Promise<void> {
    return run(ctx).catch(error => ctx.onerror(error))
  }
}

class Ingress {
  readonly #parts: ServerParts
  readonly #settings: IngressSettings
  readonly #budget: ByteBudget
  readonly #callers: CallerLimits
  readonly #refusals: RefusalLog
  readonly #use: ConnectionUse
  readonly #trusted: Networks
  readonly #plainHttp: boolean

  constructor(parts: ServerParts) {
    const { settings, log } = parts
    this.#parts = parts
    this.#settings = settings
    this.#budget = new ByteBudget(Math.max(settings.inFlightBytesMax, requestBytesMax(settings)))
    this.#callers = new CallerLimits(settings, parts.clock)
    this.#refusals = new RefusalLog(log)
    this.#use = new ConnectionUse(settings.requestsPerConnectionMax)
    this.#trusted = new Networks(settings.trustedProxies, 'ingress.trustedProxies')
    this.#plainHttp = parts.loopback || settings.plainHttp === 'allow'
  }

  /** Answers one request; the promise, where there is one, never rejects. */
  handle(req: IncomingMessage, res: ServerResponse): Promise<void> | undefined {
    if (this.#use.isLast(req.socket)) res.setHeader('Connection', 'close')
    const isLong = req.rawHeaders.length > 2 * this.#settings.headerLinesMax
    const faulty = isLong ? headersTooLarge() : misframed(req)
    if (faulty !== undefined) {
      this.#refuse(res, NO_SOURCE, faulty)
      return undefined
    }
    const path = pathOf(req.url ?? '')
    if (answerHealth(path, res, this.#parts.readiness)) return undefined
    const caller = new Caller(req, this.#trusted)
    if (caller.host === null) {
      this.#refuse(res, NO_SOURCE, noHost())
      return undefined
    }
    if (!this.#plainHttp && !caller.secure) {
      this.#refuse(res, NO_SOURCE, httpsRequired())
      return undefined
    }
    const source = sourceOf(path)
    const door = source === undefined ? undefined : this.#parts.doors().get(source)
    if (source === undefined || door === undefined) {
      this.#refuse(res, NO_SOURCE, unknownSource())
      return undefined
    }
    const refusal = this.#refuseEarly(req, caller, door)
    if (refusal !== undefined) {
      this.#refuse(res, source, refusal)
      return undefined
    }
    const client = caller.client()
    const share = client === null ? null : this.#callers.of(client)
    const barredMs = share?.barredMs() ?? 0
    if (barredMs > 0) {
      this.#refuse(res, source, closing(tryAgain('too-many-failures', TOO_MANY_FAILURES, barredMs)))
      return undefined
    }
    return this.#pass({ req, res, caller, share, source, door, span: startSpan(req, source) })
  }

  /** What speaks against a delivery before its body is read. */
  #refuseEarly(req: IncomingMessage, caller: Caller, door: Door): Problem | undefined {
    if (!door.source.methods.has(req.method ?? '')) return wrongMethod(door)
    const early = refuseEarly(req, door.encoding, this.#settings)
    if (early !== undefined) return early
    if (door.allowFrom !== null && !door.allowFrom.includes(caller.address() ?? '')) return addressRefused()
    const target = this.#parts.target()
    if (target === undefined) return this.#tryAgain('not-ready', NOT_READY)
    if (!fits(target)) return this.#tryAgain('not-ready', OUTGROWN)
    // Until then its secret may only be unknown here, and a 401 would end many a sender's tries.
    const isUnknown = door.source.learns && !this.#parts.learning.known
    return isUnknown ? this.#tryAgain('not-ready', NOT_READY) : undefined
  }

  async #pass(passage: Passage): Promise<void> {
    const { res, span } = passage
    const ending = await this.#deliver(passage)
    this.#answer(passage, ending)
    if (!span.isRecording()) return
    span.setAttribute('http.response.status_code', res.statusCode)
    if (ending.kind === 'refused') span.setAttribute('error.type', ending.problem.code)
    span.end()
  }

  async #deliver(passage: Passage): Promise<Ending> {
    const { req, res, caller, share, source, door, span } = passage
    const url = urlOf(req, caller, this.#settings.publicUrl)
    const receipt = await receive(req, res, url, door.encoding, this.#settings, this.#budget, share)
    if (receipt.kind !== 'received') return receipt
    const { request, holding } = receipt
    try {
      const receivedAt = this.#parts.clock()
      const judged = spanned(span, 'verify', SpanKind.INTERNAL, () =>
        verify(door.source, request, receivedAt),
      )
      // Nearly always at once: only a certificate that must be fetched takes time.
      const verification = judged instanceof Promise ? await judged : judged
      return await this.#conclude(passage, verification, receivedAt)
    } catch (error) {
      this.#parts.log.error({ source, err: error }, 'a delivery failed unexpectedly')
      return { kind: 'refused', problem: problem('internal-error', 'Send the same delivery again.') }
    } finally {
      this.#budget.close(holding)
    }
  }

  #conclude(passage: Passage, verification: Verification, receivedAt: number): Promise<Ending> | Ending {
    switch (verification.kind) {
      case 'verified': {
        passage.share?.verified()
        peerOf(passage.req.socket)?.proves()
        const waitMs = passage.door.bucket?.take() ?? 0
        if (waitMs > 0) return { kind: 'refused', problem: tryAgain('too-many-requests', TOO_MANY, waitMs) }
        return this.#publish(passage, verification.delivery, receivedAt)
      }
      case 'challenge':
        return this.#shakeHands(passage, verification)
      case 'unavailable':
        return { kind: 'refused', problem: this.#tryAgain(verification.code, verification.detail) }
      case 'rejected': {
        const { status, code, detail } = verification
        if (status === 405) return { kind: 'refused', problem: wrongMethod(passage.door) }
        if (status === 401) passage.share?.failed()
        return { kind: 'refused', problem: rejection(status, code, detail) }
      }
    }
  }

  async #shakeHands({ door, req, caller, share }: Passage, challenge: Challenge): Promise<Ending> {
    const { learning, log, fetchText } = this.#parts
    const { retryAfterMs } = this.#settings
    const from = { nonce: nonceOf(req.url ?? ''), address: caller.address() }
    const refusal = await completeHandshake(challenge, door, from, { learning, log, retryAfterMs, fetchText })
    if (refusal?.status === 401) share?.failed()
    if (refusal !== undefined) return { kind: 'refused', problem: refusal }
    return { kind: 'challenged', code: challenge.code, response: challenge.response }
  }

  async #publish(passage: Passage, delivery: VerifiedDelivery, receivedAt: number): Promise<Ending> {
    const { source, door, span } = passage
    const target = this.#parts.target() as PublishTarget
    const event = accept(source, delivery, door.keep, receivedAt)
    if (event.secretIndex > 0) previousSecretTotal.inc({ source })
    const traceparent = traceparentOf(span)
    try {
      await spanned(span, 'publish', SpanKind.PRODUCER, () => publish(target, event, traceparent))
    } catch (error) {
      this.#parts.log.debug({ source, id: event.id, error: errorMessage(error) }, 'not published')
      return { kind: 'refused', problem: this.#tryAgain('not-published', NOT_PUBLISHED) }
    }
    acceptSeconds.observe((this.#parts.clock() - receivedAt) / 1_000)
    return { kind: 'accepted', eventId: event.id, traceparent }
  }

  #answer({ res, source, door, span }: Passage, ending: Ending): void {
    // Draining may have begun while the delivery was under way.
    if (this.#parts.readiness.state === 'draining' && !res.headersSent) res.setHeader('Connection', 'close')
    if (ending.kind === 'accepted' && door.source.success === null) {
      answerAccepted(res, ending.eventId, ending.traceparent)
      countDelivery(source, 200, 'accepted')
      return
    }
    if (!res.headersSent) res.setHeader('traceresponse', traceparentOf(span))
    switch (ending.kind) {
      case 'accepted':
        answerSender(res, door.source.success as SenderResponse)
        countDelivery(source, res.statusCode, 'accepted')
        return
      case 'challenged':
        answerSender(res, ending.response)
        countDelivery(source, res.statusCode, ending.code)
        return
      case 'refused':
        this.#refuse(res, source, ending.problem)
        return
      case 'gone':
        countDelivery(source, 0, 'gone')
    }
  }

  #refuse(res: ServerResponse, source: string, refusal: Problem): void {
    const { settings, loopback } = this.#parts
    const shown = mayKnow(res.req, settings.refusalDetail, loopback) ? refusal : terse(refusal)
    answerProblem(res, shown)
    countDelivery(source, refusal.status, refusal.code)
    this.#refusals.refused(source, refusal)
  }

  #tryAgain(code: Parameters<typeof tryAgain>[0], detail: string): Problem {
    return tryAgain(code, detail, this.#settings.retryAfterMs)
  }
}

function startSpan(req: IncomingMessage, source: string): Span {
  const span = startRoot('POST /webhooks/:source', req.headers.traceparent as string | undefined)
  if (span.isRecording()) {
    span.setAttributes({
      'http.request.method': req.method ?? '',
      'http.route': '/webhooks/:source',
      'sallyport.source': source,
    })
  }
  return span
}

const NOT_READY = 'The ingress is starting and cannot store deliveries yet. Send the same delivery again.'
const OUTGROWN = 'The ingress must be started with other settings. Send the same delivery again.'
const NOT_PUBLISHED =
  'Kafka did not acknowledge the event in time. Send the same delivery again; it counts once even if it arrives twice.'
const TOO_MANY_FAILURES =
  'Too many deliveries from this address did not verify. Check the secret, and send the same delivery again later.'
const TOO_MANY = 'This source sends more than its rate allows. Send the same delivery again later.'

function unknownSource(): Problem {
  return problem('unknown-source', 'Deliveries go to POST /webhooks/:source, with a source that is set up.')
}

function noHost(): Problem {
  return problem(
    'malformed-request',
    'Host, and X-Forwarded-Host where a trusted proxy sends it, must be one host.',
  )
}

function httpsRequired(): Problem {
  return problem('https-required', 'Use https. Behind a proxy of your own, set ingress.trustedProxies.')
}

function addressRefused(): Problem {
  return problem('address-refused', "This address is not on the source's allow-list.")
}

function wrongMethod(door: Door): Problem {
  const allow = [...door.source.methods].join(', ')
  return problem('method-not-allowed', `Use ${allow}.`, { allow })
}
