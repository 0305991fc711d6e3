/**
 * Errors that say: what I depend on is down, or takes no more now.
 *
 * - HTTP statuses: every 5xx, 408, 425 and 429 (RFC 9110, 6585, 8470; 529 and 520 to 530 are widespread beyond them)
 * - connections that fail: codes of Node's sockets, resolver, TLS and HTTP/2, of its fetch (undici) and of axios
 * - classes and names that the clients of models and clouds give to failed connections, time-outs and throttling: the
 *   SDKs of OpenAI, Anthropic and AWS (test/conformance/outages.test.ts), of Mistral and Stripe, and gRPC's
 */
import { namesOf, property, statusesOf } from './thrown.ts'

const NAMES = new Set([
  // Node: net, dns, tls, http2, stream.
  ...['ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'EPROTO', 'ENOTCONN', 'EADDRNOTAVAIL'],
  ...['ETIMEDOUT', 'ESOCKETTIMEDOUT', 'ETIMEOUT', 'EHOSTUNREACH', 'EHOSTDOWN', 'ENETUNREACH', 'ENETDOWN'],
  ...['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'EAI_NODATA', 'ESERVFAIL'],
  ...['ERR_SOCKET_CONNECTION_TIMEOUT', 'ERR_TLS_HANDSHAKE_TIMEOUT', 'ERR_STREAM_PREMATURE_CLOSE'],
  ...['ERR_HTTP2_STREAM_ERROR', 'ERR_HTTP2_STREAM_CANCEL', 'ERR_HTTP2_SESSION_ERROR'],
  ...['ERR_HTTP2_GOAWAY_SESSION', 'ERR_HTTP2_INVALID_SESSION', 'ERR_HTTP2_PING_CANCEL'],
  // undici, axios.
  ...['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'UND_ERR_SOCKET'],
  'ERR_NETWORK',
  // What AbortSignal.timeout, and most clients, call a deadline that passed.
  ...[
    'TimeoutError',
    'ConnectTimeoutError',
    'RequestTimeoutError',
    'RequestTimeout',
    'RequestTimeoutException',
  ],
  // OpenAI, Anthropic and those who generate their clients with the same tool; Mistral; Stripe.
  ...['APIConnectionError', 'APIConnectionTimeoutError', 'ConnectionError', 'StripeConnectionError'],
  // The same two within a stream, whose status was 200.
  ...[
    'overloaded_error',
    'rate_limit_error',
    'rate_limit_exceeded',
    'api_error',
    'timeout_error',
    'server_error',
  ],
  // AWS: throttling comes with status 400.
  ...['Throttling', 'ThrottlingException', 'ThrottledException', 'TooManyRequestsException', 'SlowDown'],
  ...['RequestThrottled', 'RequestThrottledException', 'RequestLimitExceeded', 'EC2ThrottledException'],
  ...['BandwidthLimitExceeded', 'ProvisionedThroughputExceededException', 'ServiceUnavailableException'],
])

/** DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED and UNAVAILABLE. Source: grpc.github.io/grpc/core/md_doc_statuscodes.html. */
const GRPC_CODES: readonly unknown[] = [4, 8, 14]

/** Whether an error, its causes aside, says that a dependency is down or takes no more. */
export function isOutage(error: object): boolean {
  return (
    statusesOf(error).some(isOutageStatus) ||
    namesOf(error).some(name => NAMES.has(name)) ||
    isGrpcOutage(error)
  )
}

function isOutageStatus(status: number): boolean {
  return (status >= 500 && status <= 599) || status === 408 || status === 425 || status === 429
}

/** gRPC's errors have a number as their code, and `details`. */
function isGrpcOutage(error: object): boolean {
  return GRPC_CODES.includes(property(error, 'code')) && typeof property(error, 'details') === 'string'
}
