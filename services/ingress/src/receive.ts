/**
 * Stage 1: a request's bytes, under their limits → `RawRequest`.
 *
 * - R1. What is known to be refused is refused before a byte of the body is read: the declared length, the content
 *   encoding, and with `Expect: 100-continue` before the sender starts to write it.
 * - R2. Bytes count against the budget from the moment they arrive, verified or not; declared bytes do not, or a
 *   stranger could take the whole budget with headers alone.
 * - R3. A body over its limit is refused, never cut.
 * The deadline for headers and body is the HTTP server's own (`requestTimeout`), which costs nothing per request.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ByteBudget } from './byte-budget.ts'
import { HeaderList, type RawRequest } from './delivery.ts'
import { type Problem, problem, tryAgain } from './problem.ts'

export interface ReceiveLimits {
  readonly bodyBytesMax: number
  readonly retryAfterMs: number
}

export type Receipt =
  /** Complete. Its bytes are held in the budget until the caller gives them back. */
  | { readonly kind: 'received'; readonly request: RawRequest }
  | { readonly kind: 'refused'; readonly problem: Problem }
  /** The sender went away; nobody is there to answer. */
  | { readonly kind: 'gone' }

/** Reads the body of a request to `url`. Never throws. */
export function receive(
  req: IncomingMessage,
  res: ServerResponse,
  url: string,
  limits: ReceiveLimits,
  budget: ByteBudget,
): Promise<Receipt> | Receipt {
  const refusal = refuseEarly(req, limits)
  if (refusal !== undefined) return { kind: 'refused', problem: refusal }
  if (req.headers.expect !== undefined) res.writeContinue()
  return readBody(req, url, limits, budget)
}

function refuseEarly(req: IncomingMessage, limits: ReceiveLimits): Problem | undefined {
  const { headers } = req
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    return problem('content-encoding', 'Send the body without content encoding.', {
      'accept-encoding': 'identity',
    })
  }
  if (headers['content-length'] !== undefined && Number(headers['content-length']) > limits.bodyBytesMax) {
    return tooLarge(limits)
  }
  return undefined
}

function readBody(
  req: IncomingMessage,
  url: string,
  limits: ReceiveLimits,
  budget: ByteBudget,
): Promise<Receipt> {
  return new Promise(resolve => {
    const chunks: Buffer[] = []
    let bytes = 0

    function settle(receipt: Receipt): void {
      req.off('data', onData)
      req.off('end', onEnd)
      req.off('close', onGone)
      if (receipt.kind !== 'received') budget.give(bytes)
      resolve(receipt)
    }
    function onData(chunk: Buffer): void {
      if (bytes + chunk.length > limits.bodyBytesMax) {
        settle({ kind: 'refused', problem: tooLarge(limits) })
      } else if (!budget.take(chunk.length)) {
        settle({ kind: 'refused', problem: overloaded(limits) })
      } else {
        bytes += chunk.length
        chunks.push(chunk)
      }
    }
    function onEnd(): void {
      const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, bytes)
      const request = { method: req.method ?? '', url, headers: new HeaderList(req.rawHeaders), body }
      settle({ kind: 'received', request })
    }
    function onGone(): void {
      settle({ kind: 'gone' })
    }

    req.on('data', onData)
    req.on('end', onEnd)
    req.on('close', onGone)
    // An aborted request emits 'error' before 'close'; unheard it would end the process.
    req.on('error', ignore)
  })
}

function ignore(): void {}

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
