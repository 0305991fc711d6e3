import { once } from 'node:events'
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { metrics } from '@sallyport/core/metrics'
import { OPERATOR_LIMITS, type PeerLimits } from '@sallyport/core/peer'
import { refuseTransport, watchPeers } from '@sallyport/core/peers'

/** Of a process's processors: whether each has joined its group. */
export type ProcessorsState = 'starting' | 'ready' | 'draining'

/** Scrapers and probes are few; more connections are somebody else's. */
const CONNECTIONS_MAX = 64
const LATE = 'HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
const MALFORMED = 'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'

/**
 * The operators' listener of a process that runs processors: `/metrics` in Prometheus' text format, `/health/live`, and
 * `/health/ready`, which is 200 from when each processor has joined its group until they drain. Not for the open network.
 */
export class AdminListener {
  readonly #server: Server

  /** `metricsText` gives the metrics; by default this process's own. */
  constructor(
    state: () => ProcessorsState,
    limits: PeerLimits = OPERATOR_LIMITS,
    metricsText: () => Promise<string> = () => metrics.metrics(),
  ) {
    this.#server = createServer()
    this.#server.maxConnections = CONNECTIONS_MAX
    const handle: RequestListener = (req, res) => {
      answer(req.url ?? '', state(), metricsText, res).catch(() => res.destroy())
    }
    watchPeers(this.#server, handle, { limits, late: LATE })
    this.#server.on('clientError', (_error, stream) => refuseTransport(stream, MALFORMED))
  }

  /** Returns its URL. Throws `SP_PORT_TAKEN`. */
  async listen(host: string, port: number): Promise<string> {
    try {
      this.#server.listen(port, host)
      await once(this.#server, 'listening')
    } catch (error) {
      throw new SallyportError(
        'SP_PORT_TAKEN',
        `the operators' listener cannot have ${host}:${port} (${errorMessage(error)}): free it, or set processing.adminPort to another one`,
        { cause: error },
      )
    }
    const { address, family, port: taken } = this.#server.address() as AddressInfo
    return `http://${family === 'IPv6' ? `[${address}]` : address}:${taken}`
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

async function answer(
  url: string,
  state: ProcessorsState,
  metricsText: () => Promise<string>,
  res: ServerResponse,
): Promise<void> {
  switch (url.split('?')[0]) {
    case '/metrics':
      res.setHeader('Content-Type', metrics.contentType)
      res.end(await metricsText())
      return
    case '/health/live':
      answerState(res, 200, 'live')
      return
    case '/health/ready':
      answerState(res, state === 'ready' ? 200 : 503, state)
      return
    default:
      answerState(res, 404, 'here are /metrics, /health/live and /health/ready')
  }
}

function answerState(res: ServerResponse, statusCode: number, status: string): void {
  res.writeHead(statusCode, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' })
  res.end(JSON.stringify({ status }))
}
