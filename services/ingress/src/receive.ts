/**
 * Stage 1: a request's bytes, under their limits → `RawRequest`.
 *
 * - R1. What is known to be refused is refused before a byte of the body is read: the declared length, the content
 *   encoding, and with `Expect: 100-continue` before the sender starts to write it.
 * - R2. Bytes count against the budget from the moment they arrive, verified or not, and so does the room that is kept
 *   for more of them; declared bytes do not, or a stranger could take the whole budget by declaring. Headers count too,
 *   by what they take in memory.
 * - R3. A body over its limit is refused, never cut; the limit holds before and after content decoding.
 * The deadline for headers and body is the peer's (`core/src/peer.ts`), which costs nothing per request.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { peerOf } from '@sallyport/core/peer'
import { BodyBuffer } from './body-buffer.ts'
import type { ByteBudget, ByteShare, Holding } from './byte-budget.ts'
import { Crumbs } from './crumbs.ts'
import { DECODABLE, decodable, decode } from './decode.ts'
import { HeaderList, type RawRequest } from './delivery.ts'
import { awaitsContinue } from './framing.ts'
import { closing, type Problem, problem, tryAgain } from './problem.ts'
import { malformedRequest, requestTimeout } from './transport-errors.ts'

/**
 * What a source does with a body that has a content encoding. `refuse`: 415. `decode`: the signature covers what
 * comes out, so it is decoded first, under the body's limit. `keep`: the signature covers the bytes as sent, and the
 * event keeps them so.
 */
export type EncodingPolicy = 'refuse' | 'decode' | 'keep'

export interface ReceiveLimits {
  readonly bodyBytesMax: number
  readonly headerBytesMax: number
  readonly headerLinesMax: number
  readonly retryAfterMs: number
}

/** Complete. Its bytes are held in the budget until the caller gives them back. */
export interface Received {
  readonly kind: 'received'
  readonly request: RawRequest
  readonly holding: Holding
}

export type Receipt =
  | Received
  | { readonly kind: 'refused'; readonly problem: Problem }
  /** The sender went away; nobody is there to answer. */
  | { readonly kind: 'gone' }

/** What a header line takes of memory beside its text. */
const LINE_BYTES = 100

/** The most bytes that one request can count for. */
export function requestBytesMax(limits: Omit<ReceiveLimits, 'retryAfterMs'>): number {
  return limits.bodyBytesMax + 2 * limits.headerBytesMax + LINE_BYTES * limits.headerLinesMax
}

/** What the head of a request takes: its lines, and its URL as it came and as it is signed. */
function headBytesOf({ url = '', rawHeaders }: IncomingMessage): number {
  let bytes = 2 * url.length + (LINE_BYTES * rawHeaders.length) / 2
  for (const text of rawHeaders) bytes += text.length
  return bytes
}

/** What the headers alone tell against a request (R1). */
export function refuseEarly(
  req: IncomingMessage,
  policy: EncodingPolicy,
  limits: ReceiveLimits,
): Problem | undefined {
  const encoding = encodingOf(req)
  if (encoding !== undefined && policy === 'refuse') {
    return problem('content-encoding', 'Send the body without content encoding.', {
      'accept-encoding': 'identity',
    })
  }
  if (encoding !== undefined && policy === 'decode' && !decodable(encoding)) {
    return problem('content-encoding', `Use one of ${DECODABLE}.`, { 'accept-encoding': DECODABLE })
  }
  const length = req.headers['content-length']
  return length !== undefined && Number(length) > limits.bodyBytesMax ? tooLarge(limits) : undefined
}

/** Reads the body of a request to `url`; `refuseEarly` must have had nothing against it. Never rejects. */
export function receive(
  req: IncomingMessage,
  res: ServerResponse,
  url: string,
  policy: EncodingPolicy,
  limits: ReceiveLimits,
  budget: ByteBudget,
  share: ByteShare | null,
): Promise<Receipt> {
  if (awaitsContinue(req)) res.writeContinue()
  const receipt = readBody(req, url, limits, budget, share)
  const encoding = policy === 'decode' ? encodingOf(req) : undefined
  if (encoding === undefined) return receipt
  return receipt.then(read => (read.kind === 'received' ? decodeBody(read, encoding, limits, budget) : read))
}

function encodingOf(req: IncomingMessage): string | undefined {
  const encoding = req.headers['content-encoding']
  return encoding === undefined || encoding.trim().toLowerCase() === 'identity' ? undefined : encoding
}

function readBody(
  req: IncomingMessage,
  url: string,
  limits: ReceiveLimits,
  budget: ByteBudget,
  share: ByteShare | null,
): Promise<Receipt> {
  return new Promise(resolve => {
    const length = req.headers['content-length']
    const body = new BodyBuffer(length === undefined ? limits.bodyBytesMax : Number(length))
    const holding = budget.open(share, headBytesOf(req), () => refuse(closing(overloaded(limits))))
    const crumbs = new Crumbs(req)
    let settled = false

    function settle(receipt: Receipt): void {
      if (settled) return
      settled = true
      if (receipt.kind !== 'received') budget.close(holding)
      body.clear()
      resolve(receipt)
    }
    function refuse(refusal: Problem): void {
      settle({ kind: 'refused', problem: refusal })
    }
    function take(bytes: number): boolean {
      const taken = budget.take(holding, bytes)
      if (taken !== 'taken') refuse(taken === 'all' ? overloaded(limits) : addressOverloaded(limits))
      return taken === 'taken'
    }
    const peer = peerOf(req.socket)
    if (peer !== undefined) {
      peer.endBody = why => refuse(why === 'late' ? requestTimeout() : malformedRequest())
    }
    // No listener for 'error': without one Node reports a broken connection by 'close' alone.
    req.on('data', (chunk: Buffer) => {
      crumbs.count(chunk.length)
      if (settled) return
      if (body.bytes + chunk.length > limits.bodyBytesMax) {
        refuse(tooLarge(limits))
        return
      }
      const growth = body.growth(chunk.length)
      if (growth === 0 || take(growth)) body.add(chunk)
    })
    req.on('end', () => {
      if (settled) return
      const whole = body.whole()
      budget.arrived(holding, whole.length)
      const headers = new HeaderList(req.rawHeaders)
      settle({ kind: 'received', request: { method: req.method ?? '', url, headers, body: whole }, holding })
    })
    req.on('close', () => settle({ kind: 'gone' }))
    take(holding.headBytes)
  })
}

/** Decodes a body that was read. What comes out is unknown, so the longest body is held for it meanwhile. */
async function decodeBody(
  { request, holding }: Received,
  encoding: string,
  limits: ReceiveLimits,
  budget: ByteBudget,
): Promise<Receipt> {
  const taken = budget.take(holding, limits.bodyBytesMax)
  if (taken !== 'taken') {
    budget.close(holding)
    return { kind: 'refused', problem: taken === 'all' ? overloaded(limits) : addressOverloaded(limits) }
  }
  const decoded = await decode(encoding, request.body, limits.bodyBytesMax)
  if (decoded.kind === 'decoded') {
    budget.arrived(holding, decoded.body.length)
    return { kind: 'received', request: { ...request, body: decoded.body }, holding }
  }
  budget.close(holding)
  if (decoded.kind === 'too-large') return { kind: 'refused', problem: tooLarge(limits) }
  return { kind: 'refused', problem: problem('malformed-encoding', `The body is not ${encoding.trim()}.`) }
}

function tooLarge(limits: ReceiveLimits): Problem {
  return problem(
    'body-too-large',
    `The limit is ${limits.bodyBytesMax} bytes (ingress.bodyBytesMax). Send less, or have the limit raised.`,
  )
}

function overloaded(limits: ReceiveLimits): Problem {
  return tryAgain(
    'overloaded',
    'Too many bytes wait to be stored. Send the same delivery again.',
    limits.retryAfterMs,
  )
}

function addressOverloaded(limits: ReceiveLimits): Problem {
  return tryAgain(
    'address-overloaded',
    'Too many bytes of this address wait to be stored. Send the same delivery again.',
    limits.retryAfterMs,
  )
}
