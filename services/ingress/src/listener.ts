/** The HTTP or HTTPS server in front of the stages, and the operators' one, with the limits of their connections. */
import { readFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { OPERATOR_LIMITS, type PeerLimits } from '@sallyport/core/peer'
import { watchPeers } from '@sallyport/core/peers'
import type { IngressSettings } from '@sallyport/core/settings'
import { ConnectionLimits } from './connection-limits.ts'
import { Networks } from './networks.ts'
import { answerText, answerTransportError, requestTimeout } from './transport-errors.ts'

/** A server that is not listening yet. Throws `SP_SETTINGS` where the certificate or key cannot be used. */
export function createListener(settings: IngressSettings, handle: RequestListener): Server {
  const options = { maxHeaderSize: settings.headerBytesMax, keepAliveTimeout: settings.keepAliveTimeoutMs }
  const { tls } = settings
  const server =
    tls === undefined ? createServer(options) : createTlsServer({ ...options, ...readCertificate(tls) })
  // One more than is taken: where Node drops what is over instead of refusing it, the request is refused all the same.
  server.maxHeadersCount = settings.headerLinesMax + 1
  const connections = new ConnectionLimits(
    settings,
    new Networks(settings.trustedProxies, 'ingress.trustedProxies'),
  )
  watchPeers(server as Server, handle, {
    limits: settings,
    late: answerText(requestTimeout()),
    tls: tls !== undefined,
    onPeer: peer => connections.arrives(peer),
    onGone: peer => connections.leaves(peer),
  })
  server.on('clientError', answerTransportError)
  // Without a handshake there is nobody to answer. Node would call it a clientError as well: an answer would be written
  // that can never leave, and a stranger's connection would stay open for ever.
  server.removeAllListeners('tlsClientError')
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  return server as Server
}

/** Scrapers and probes are few; more connections are somebody else's. */
const OPERATORS_CONNECTIONS_MAX = 256
const OPERATORS_HEADER_LINES_MAX = 100

/** The server of the operators' listener, not listening yet. */
export function createOperatorsServer(handle: RequestListener, limits: PeerLimits = OPERATOR_LIMITS): Server {
  const server = createServer()
  server.maxConnections = OPERATORS_CONNECTIONS_MAX
  server.maxHeadersCount = OPERATORS_HEADER_LINES_MAX
  watchPeers(server, handle, { limits, late: answerText(requestTimeout()) })
  server.on('clientError', answerTransportError)
  return server
}

/** Takes the certificate and key from their files again; throws `SP_SETTINGS` and keeps the old where they are wrong. */
export function reloadCertificate(server: Server, tls: { cert: string; key: string }): void {
  ;(server as unknown as TlsServer).setSecureContext(readCertificate(tls))
}

function readCertificate(tls: { cert: string; key: string }): SecureContextOptions {
  try {
    const context: SecureContextOptions = {
      cert: readFileSync(tls.cert),
      key: readFileSync(tls.key),
      minVersion: 'TLSv1.2',
    }
    // Says now what is wrong with the pair; the server would only say it at the first handshake.
    createSecureContext(context)
    return context
  } catch (error) {
    throw new SallyportError(
      'SP_SETTINGS',
      `ingress.tls cannot be used (${errorMessage(error)}): check ${tls.cert} and ${tls.key}`,
      { cause: error },
    )
  }
}

/** Listens, and gives the base URL; rejects with `SP_PORT_TAKEN` where another program has the port. */
export function listen(server: Server, host: string, port: number, reusePort = false): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE') return reject(error)
      const message = `${host}:${port} is taken by another program: free it, or set ingress.port (SALLYPORT_INGRESS_PORT) to another one`
      reject(new SallyportError('SP_PORT_TAKEN', message, { cause: error }))
    })
    server.listen({ port, host, reusePort, exclusive: true }, () => {
      const { address, family, port } = server.address() as AddressInfo
      const scheme = 'setSecureContext' in server ? 'https' : 'http'
      resolve(`${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${port}`)
    })
  })
}

/** Stops listening, lets requests in flight finish until the deadline, then cuts what is left. */
export async function closeListener(server: Server, deadlineMs: number): Promise<void> {
  const closed = new Promise<void>(resolve => server.close(() => resolve()))
  server.closeIdleConnections()
  const cut = setTimeout(() => server.closeAllConnections(), deadlineMs)
  await closed
  clearTimeout(cut)
}
