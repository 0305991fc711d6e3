import { createHmac } from 'node:crypto'
import { HeaderList, type RawRequest } from '@sallyport/ingress/delivery'
import {
  compileSource,
  type Source,
  type SourceContext,
  type SourceSettings,
} from '@sallyport/ingress/sources'
import { type Verification, verify } from '@sallyport/ingress/verify'

/** Unix seconds of all tests about time: 2027-01-01T00:00:00Z. */
export const NOW = 1_798_761_600
export const NOW_MS = NOW * 1000

export interface RequestParts {
  readonly method?: string
  readonly url?: string
  /** By name, or pairs where a name comes twice. */
  readonly headers?: Readonly<Record<string, string>> | readonly (readonly [string, string])[]
  readonly body?: string | Buffer
}

/** A request as the ingress would have received it. */
export function requestOf({
  method = 'POST',
  url = 'https://hooks.example.com/in',
  headers = {},
  body = '',
}: RequestParts): RawRequest {
  const pairs = Array.isArray(headers) ? headers : Object.entries(headers)
  return {
    method,
    url,
    headers: new HeaderList(pairs.flat()),
    body: typeof body === 'string' ? Buffer.from(body) : body,
  }
}

/** A source under the name `test`. */
export function sourceOf(settings: SourceSettings, context: SourceContext = {}): Source {
  return compileSource('test', settings, context)
}

/** Judges a request at NOW, or when it says. */
export async function judge(
  source: Source,
  parts: RequestParts,
  nowMs: number = NOW_MS,
): Promise<Verification> {
  return await verify(source, requestOf(parts), nowMs)
}

/** `verified`, a challenge's code, or the code of the rejection. */
export function codeOf(verification: Verification): string {
  return verification.kind === 'verified' ? 'verified' : verification.code
}

export function hmac(
  hash: string,
  key: string | Buffer,
  text: string | Buffer,
  encoding: 'hex' | 'base64' | 'base64url' = 'hex',
): string {
  return createHmac(hash, key).update(text).digest(encoding)
}

/** A compact token with a shared secret. */
export function sharedToken(
  claims: object,
  secret: string,
  algorithm = 'HS256',
  header: object = {},
): string {
  const text = [{ alg: algorithm, typ: 'JWT', ...header }, claims]
    .map(part => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  return `${text}.${hmac(`sha${algorithm.slice(2)}`, secret, text, 'base64url')}`
}
