/** Fetching senders' certificates and keys: few addresses, small answers, no redirects. */

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

/** The real one: https only, 5 s, 256 KiB, redirects refused. */
export const fetchText: FetchText = async (url, init = {}) => {
  if (!url.startsWith('https://')) throw new Error(`${url} is not https`)
  const response = await fetch(url, {
    method: init.method ?? 'GET',
    headers: init.headers ?? {},
    body: init.body ?? null,
    redirect: 'error',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  if (response.status !== 200) {
    await response.body?.cancel()
    throw new Error(`${url} answered ${response.status}`)
  }
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of response.body ?? []) {
    length += chunk.length
    if (length > BYTES_MAX) throw new Error(`${url} answered more than ${BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
