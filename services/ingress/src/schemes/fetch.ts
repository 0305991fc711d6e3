/**
 * Fetching senders' certificates and keys, and confirming subscriptions: small answers, no redirects, no addresses
 * within. Callers take no host but the sender's; here a literal address is refused in every writing, and a name that
 * leads elsewhere cannot show the sender's certificate. Errors name the host alone: they reach the log, and an address
 * may hold a token.
 */
import { isIP } from 'node:net'

/** An HTTP request of ours to a sender. */
export interface FetchInit {
  readonly method?: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** Fetches a text; rejects on anything but a small 200. Tests and `sallyport verify --vectors` bring their own. */
export type FetchText = (url: string, init?: FetchInit) => Promise<string>

const TIMEOUT_MS = 5_000
const BYTES_MAX = 256 * 1024

/** The real one: https to a named host only, 5 s, 256 KiB, redirects refused. */
export const fetchText: FetchText = async (url, init = {}) => {
  const host = checkAddress(url)
  const response = await fetch(url, {
    method: init.method ?? 'GET',
    headers: init.headers ?? {},
    body: init.body ?? null,
    redirect: 'error',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  if (response.status !== 200) {
    await response.body?.cancel()
    throw new Error(`${host} answered ${response.status}`)
  }
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of response.body ?? []) {
    length += chunk.length
    if (length > BYTES_MAX) throw new Error(`${host} answered more than ${BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** The host. `URL` has brought every writing of an address (`0x7f.1`, `[::ffff:127.0.0.1]`) into its one form. */
function checkAddress(text: string): string {
  if (!URL.canParse(text)) throw new Error('the address is no URL')
  const { protocol, username, password, hostname, host } = new URL(text)
  if (protocol !== 'https:') throw new Error(`the address at ${host} is not https`)
  if (username !== '' || password !== '') throw new Error(`the address at ${host} holds credentials`)
  if (isIP(hostname.replaceAll(/[[\]]/g, '')) !== 0)
    throw new Error(`${host} is an address instead of a name`)
  return host
}
