import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { PROBLEM_CONTENT_TYPE, type Problem, problem, problemBody } from './problem.ts'
import { isLingering } from './respond.ts'

/** Answers what never became a request: garbled, too slow, headers too large. Closes the connection. */
export function answerTransportError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable || answerBegun(socket)) {
    socket.destroy()
    return
  }
  const refusal = problemOf(error.code)
  const body = problemBody(refusal)
  socket.end(
    `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}\r\n` +
      `Content-Type: ${PROBLEM_CONTENT_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `Connection: close\r\n\r\n${body}`,
  )
}

function problemOf(code: string | undefined): Problem {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return problem('request-timeout', 'Headers and body must arrive in time (ingress.bodyTimeout).')
    case 'HPE_HEADER_OVERFLOW':
      return problem('headers-too-large', 'Send fewer or shorter headers.')
    default:
      return problem('malformed-request', 'This is not HTTP/1.1 as RFC 9112 defines it.')
  }
}

/** Whether bytes of another answer already stand on the connection: a second one would corrupt it. */
function answerBegun(socket: Duplex): boolean {
  const message = (socket as { _httpMessage?: { headersSent?: boolean } })._httpMessage
  return message?.headersSent === true || isLingering(socket)
}
