/**
 * Writes answers straight to Node's response: Koa's own respond() sniffs types and lengths that are known here, and
 * it would answer requests whose connection must be closed in a particular way.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { SenderResponse } from './delivery.ts'
import { PROBLEM_CONTENT_TYPE, type Problem, problemBody } from './problem.ts'

/** How much of a refused body is still read so that the sender gets to see the answer, and for how long. */
export interface Linger {
  readonly bytesMax: number
  readonly timeoutMs: number
}

/** Connections whose last request was answered while its body still arrives. */
const lingering = new WeakSet<object>()

/** Whether a request on this connection has its answer but not yet the end of its body. */
export function isLingering(socket: object): boolean {
  return lingering.has(socket)
}

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

/** Writes a problem document. Where the body is not read to its end yet, see `lingerThenClose`. */
export function answerProblem(res: ServerResponse, problem: Problem, linger: Linger): void {
  const unread = !res.req.complete && !res.req.destroyed
  // Without "100 Continue" the body may or may not follow: only a closed connection leaves no doubt.
  if (unread && res.req.headers.expect !== undefined) res.setHeader('Connection', 'close')
  else if (unread) lingerThenClose(res.req, linger)
  answer(res, problem.status, PROBLEM_CONTENT_TYPE, problemBody(problem), problem.headers)
}

/** Writes a handshake's answer or a source's own success answer. */
export function answerSender(res: ServerResponse, response: SenderResponse): void {
  res.setHeader('X-Content-Type-Options', 'nosniff')
  answer(res, response.status, undefined, response.body, response.headers)
}

/**
 * Throws the rest of a refused body away as it arrives. Closing at once would reset the connection while the sender
 * still writes, and most HTTP clients then report the reset and never see the answer. Bounded, since nothing else
 * bounds a stranger who goes on writing.
 */
function lingerThenClose(req: IncomingMessage, linger: Linger): void {
  const { socket } = req
  const giveUp = (): void => {
    socket.destroy()
  }
  const timer = setTimeout(giveUp, linger.timeoutMs)
  lingering.add(socket)
  let bytes = 0
  const count = (chunk: Buffer): void => {
    bytes += chunk.length
    if (bytes > linger.bytesMax) giveUp()
  }
  const stop = (): void => {
    clearTimeout(timer)
    lingering.delete(socket)
    req.off('data', count)
  }
  req.once('close', stop)
  req.once('end', stop)
  req.on('error', stop)
  req.on('data', count)
  req.resume()
}
