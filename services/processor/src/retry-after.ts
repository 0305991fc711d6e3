/**
 * Retry-After of an HTTP response, in ms from now: a number of seconds or a date (RFC 9110, 10.2.3). A date is measured
 * from the response's own Date where it has one. Undefined where there is none, or none that can be read.
 */
export function retryAfterMs(
  headers: { get(name: string): string | null },
  nowMs: number,
): number | undefined {
  const text = headers.get('retry-after')?.trim()
  if (text === undefined || text === '') return undefined
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1_000
  const until = dateMs(text)
  return until === undefined ? undefined : Math.max(0, until - (dateMs(headers.get('date')) ?? nowMs))
}

/** An HTTP date in its one form that senders may still produce: `Sun, 06 Nov 1994 08:49:37 GMT`. */
function dateMs(text: string | null): number | undefined {
  if (text === null || !/^\w{3}, \d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(text)) return undefined
  const ms = Date.parse(text)
  return Number.isNaN(ms) ? undefined : ms
}
