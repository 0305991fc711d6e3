import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { refuseTransport } from '@sallyport/core/peers'
import { closing, PROBLEM_CONTENT_TYPE, type Problem, problem, problemBody } from './problem.ts'

/** What headers or a body that come too slowly are told. */
export function requestTimeout(): Problem {
  return closing(problem('request-timeout', 'Headers and body must arrive in time (ingress.bodyTimeout).'))
}

/** What is told where HTTP itself is broken. */
export function malformedRequest(): Problem {
  return closing(problem('malformed-request', 'This is not HTTP/1.1 as RFC 9112 defines it.'))
}

/** What headers are told that are too many or too long. */
export function headersTooLarge(): Problem {
  return closing(problem('headers-too-large', 'Send fewer or shorter headers.'))
}

/** Answers what never became a request: garbled, or headers too large. Closes the connection. */
export function answerTransportError(error: NodeJS.ErrnoException, stream: Duplex): void {
  if (error.code === 'ECONNRESET' || !stream.writable) stream.destroy()
  else refuseTransport(stream, answerText(problemOf(error.code)))
}

/** A whole answer as it goes over the wire, for where no request is there to be answered. */
export function answerText(refusal: Problem): string {
  const body = problemBody(refusal)
  return (
    `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}\r\n` +
    `Content-Type: ${PROBLEM_CONTENT_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
    `Connection: close\r\n\r\n${body}`
  )
}

function problemOf(code: string | undefined): Problem {
  return code === 'HPE_HEADER_OVERFLOW' ? headersTooLarge() : malformedRequest()
}
