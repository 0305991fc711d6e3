/**
 * Writes answers straight to Node's response: Koa's own respond() sniffs types and lengths that are known here, and
 * it would answer requests whose connection must be closed in a particular way.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { peerOf } from '@sallyport/core/peer'
import { Crumbs } from './crumbs.ts'
import type { SenderResponse } from './delivery.ts'
import { PROBLEM_CONTENT_TYPE, type Problem, problemBody } from './problem.ts'

/** Up to how many bytes of a refused body are read, so that its sender gets to see the answer. */
const DISCARD_BYTES_MAX = 64 * 1_048_576

/** Writes a complete answer; does nothing where the sender has gone or has been answered. */
export function answer(
  res: ServerResponse,
  status: number,
  contentType: string | undefined,
  body: string | Buffer,
  headers?: Readonly<Record<string, string>>,
): void {
  if (res.headersSent || res.destroyed) return
  res.statusCode = status
  if (contentType !== undefined) res.setHeader('Content-Type', contentType)
  for (const name in headers) res.setHeader(name, headers[name] as string)
  if (res.req.method === 'HEAD') {
    res.setHeader('Content-Length', Buffer.byteLength(body))
    res.end()
  } else {
    res.end(body)
  }
}

/** Writes the usual answer to an accepted delivery; `traceresponse` as in W3C Trace Context, level 2. */
export function answerAccepted(res: ServerResponse, eventId: string, traceresponse: string): void {
  if (res.headersSent || res.destroyed) return
  const body = JSON.stringify({ status: 'accepted', id: eventId })
  const length = Buffer.byteLength(body)
  // All headers at once and as a list: the cheapest way through Node, and this is the hot path.
  res.writeHead(200, [
    'Content-Type',
    'application/json',
    'Content-Length',
    String(length),
    'traceresponse',
    traceresponse,
  ])
  // Text that is ASCII is Latin-1 too, and that Node copies instead of transcoding it.
  res.end(body, length === body.length ? 'latin1' : 'utf8')
}

/** Writes a problem document. Where the body is not read to its end yet, see `discardBody`. */
export function answerProblem(res: ServerResponse, problem: Problem): void {
  const { req } = res
  const unread = !req.complete && !req.destroyed
  // Without "100 Continue" the body may or may not follow: only a closed connection leaves no doubt.
  if (problem.closes || (unread && req.headers.expect !== undefined)) endConnection(res)
  if (unread) discardBody(req)
  answer(res, problem.status, PROBLEM_CONTENT_TYPE, problemBody(problem), problem.headers)
}

function endConnection(res: ServerResponse): void {
  if (!res.headersSent) res.setHeader('Connection', 'close')
  peerOf(res.req.socket)?.closeWithAnswer()
}

/** Writes a handshake's answer or a source's own success answer. */
export function answerSender(res: ServerResponse, response: SenderResponse): void {
  res.setHeader('X-Content-Type-Options', 'nosniff')
  answer(res, response.status, undefined, response.body, response.headers)
}

/**
 * Throws the rest of a body away as it arrives. Closing at once would reset the connection while the sender still
 * writes, and most HTTP clients then report the reset and never see the answer. Bounded in bytes here, and in time by
 * the request's deadline, since nothing else bounds a stranger who goes on writing.
 */
export function discardBody(req: IncomingMessage): void {
  const crumbs = new Crumbs(req)
  let bytes = 0
  req.on('data', (chunk: Buffer) => {
    crumbs.count(chunk.length)
    bytes += chunk.length
    if (bytes > DISCARD_BYTES_MAX) req.socket.destroy()
  })
  // Without a listener a broken connection would be thrown.
  req.on('error', () => {})
  req.resume()
}
