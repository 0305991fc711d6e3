/**
 * What Node's parser lets pass although two servers could read it as different requests: RFC 9112, 3.2 (one Host) and
 * 6.1 (one transfer coding that we know, and none in HTTP/1.0).
 */
import type { IncomingMessage } from 'node:http'
import { type Problem, problem } from './problem.ts'

/** Why a request can be read in more than one way, or undefined where it cannot. */
export function misframed({ rawHeaders, httpVersionMinor }: IncomingMessage): Problem | undefined {
  let hosts = 0
  let codings = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++
    if (name.length !== 17 || name.toLowerCase() !== 'transfer-encoding') continue
    codings++
    if ((rawHeaders[i + 1] as string).toLowerCase() !== 'chunked') return refused(ONE_CODING)
  }
  if (hosts > 1) return refused('The Host header came more than once.')
  return codings > (httpVersionMinor === 0 ? 0 : 1) ? refused(ONE_CODING) : undefined
}

const ONE_CODING = 'The only transfer coding is chunked, once, in HTTP/1.1.'

function refused(detail: string): Problem {
  return problem('malformed-request', detail, { connection: 'close' })
}

/** Whether the sender waits for "100 Continue"; one that speaks HTTP/1.0 does not know it (RFC 9110, 10.1.1). */
export function awaitsContinue({ headers, httpVersionMinor }: IncomingMessage): boolean {
  return httpVersionMinor === 1 && headers.expect?.toLowerCase() === '100-continue'
}
