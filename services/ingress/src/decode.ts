/** Content decoding of bodies, with a bound on what comes out: a few kilobytes can unpack to gigabytes. */
import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib'

type Decoder = (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>

const DECODERS: Readonly<Record<string, Decoder>> = {
  gzip: promisify(gunzip) as Decoder,
  'x-gzip': promisify(gunzip) as Decoder,
  deflate: promisify(inflate) as Decoder,
  br: promisify(brotliDecompress) as Decoder,
  zstd: promisify(zstdDecompress) as Decoder,
}

/** What `Accept-Encoding` of a 415 says. */
export const DECODABLE = 'gzip, deflate, br, zstd'

/** Whether one of the known encodings, and only one, was applied. */
export function decodable(encoding: string): boolean {
  return Object.hasOwn(DECODERS, encoding.trim().toLowerCase())
}

export type Decoded =
  | { readonly kind: 'decoded'; readonly body: Buffer }
  /** More than `bytesMax` would have come out; decoding stopped there. */
  | { readonly kind: 'too-large' }
  /** Not in the encoding that it claims. */
  | { readonly kind: 'malformed' }

/** Decodes a whole body. Never rejects. */
export async function decode(encoding: string, bytes: Buffer, bytesMax: number): Promise<Decoded> {
  const decoder = DECODERS[encoding.trim().toLowerCase()] as Decoder
  try {
    return { kind: 'decoded', body: await decoder(bytes, { maxOutputLength: bytesMax }) }
  } catch (error) {
    const tooLarge = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
    return { kind: tooLarge ? 'too-large' : 'malformed' }
  }
}
