import { HeaderList, type RawRequest } from '@sallyport/ingress/delivery'

/** A request that was captured or written down, as the ingress would have received it. */
export interface Captured {
  readonly method: string
  readonly url: string
  readonly headers: Iterable<readonly [string, string]>
  readonly body: Buffer
}

/**
 * The same `RawRequest` that Node's HTTP parser would hand over: blanks around a value are not part of it (RFC
 * 9110, 5.5), and its bytes are Latin-1 characters.
 */
export function rawRequest({ method, url, headers, body }: Captured): RawRequest {
  const raw: string[] = []
  for (const [name, value] of headers) raw.push(name, onWire(value.replace(/^[ \t]+|[ \t]+$/g, '')))
  return { method, url, headers: new HeaderList(raw), body }
}

function onWire(value: string): string {
  for (let i = 0; i < value.length; i++) {
    if (value.charCodeAt(i) > 0xff) return Buffer.from(value, 'utf8').toString('latin1')
  }
  return value
}

/** `name: value` lines, as curl and most tools print them; the request line and empty lines are skipped. */
export function parseHeaders(text: string): [string, string][] {
  const headers: [string, string][] = []
  for (const line of text.split(/\r?\n/)) {
    const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)$/.exec(line.replace(/^[<>] /, ''))
    if (match !== null) headers.push([match[1] as string, match[2] as string])
  }
  return headers
}
