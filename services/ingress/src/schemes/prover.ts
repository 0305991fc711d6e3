/** How each algorithm proves a signature: compiled once for a source, run for each request. */
import { createHash, verify as verifySignature } from 'node:crypto'
import { equalAscii } from './compare.ts'
import type { HashName, SignatureKind } from './effort.ts'
import { decodeStrict } from './encoding.ts'
import { Hmac } from './hmac.ts'
import type { IndexedKey } from './keys.ts'
import type { Reading } from './reading.ts'
import type { Algorithm, Scheme } from './scheme.ts'
import { renderSide, type Template } from './template.ts'

/** The signed text of one request. */
export interface SignedText {
  readonly before: string
  readonly after: string
  readonly time: string
  readonly reading: Reading
}

/**
 * The index of the secret that agrees with one of the signatures. `none`: no secret does. `spent`: nothing matched
 * before the request's effort was spent. One computation for each key, or for each key and signature of a private key.
 */
export type Prover = (signatures: readonly string[], signed: SignedText) => number | 'none' | 'spent'

const HMAC_HASH: Partial<Record<Algorithm, HashName>> = {
  'hmac-sha1': 'sha1',
  'hmac-sha256': 'sha256',
  'hmac-sha384': 'sha384',
  'hmac-sha512': 'sha512',
}

const SIGNATURE_KIND: Partial<Record<Algorithm, SignatureKind>> = {
  ed25519: 'ed25519',
  'ecdsa-p256-sha256': 'ecdsa',
  'rsa-sha256': 'rsa',
}

/** Bytes of a signature, where the algorithm has one length. */
export const SIGNATURE_BYTES: Partial<Record<Algorithm, number>> = {
  'hmac-sha1': 20,
  'hmac-sha256': 32,
  'hmac-sha384': 48,
  'hmac-sha512': 64,
  sha256: 32,
  ed25519: 64,
}

/** The prover of a row with its keys. */
export function compileProver(row: Scheme, template: Template, keys: readonly IndexedKey[]): Prover {
  const name = HMAC_HASH[row.algorithm]
  if (name !== undefined) return hmacProver(row, name, keys)
  return row.algorithm === 'sha256' ? hashProver(row, template, keys) : publicProver(row, keys)
}

function hmacProver({ encoding = 'hex' }: Scheme, name: HashName, keys: readonly IndexedKey[]): Prover {
  const macs = keys.map(({ key, secretIndex }) => ({ mac: new Hmac(name, key), secretIndex }))
  return (signatures, { before, after, reading }) => {
    const bytes = before.length + reading.request.body.length + after.length
    for (const { mac, secretIndex } of macs) {
      if (!reading.effort.hash(name, bytes)) return 'spent'
      const expected = mac.digest(before, reading.request.body, after, encoding)
      for (const signature of signatures) if (equalAscii(signature, expected)) return secretIndex
    }
    return 'none'
  }
}

/** A plain hash of a text that holds the secret: rendered anew for each key. */
function hashProver({ encoding = 'hex' }: Scheme, template: Template, keys: readonly IndexedKey[]): Prover {
  return (signatures, { reading, time }) => {
    const { body } = reading.request
    for (const { text, secretIndex } of keys) {
      const [before, after] = [template.before, template.after].map(side =>
        renderSide(side, reading, time, text),
      ) as [string, string]
      if (!reading.effort.hash('sha256', before.length + body.length + after.length)) return 'spent'
      const expected = createHash('sha256').update(before).update(body).update(after).digest(encoding)
      for (const signature of signatures) if (equalAscii(signature, expected)) return secretIndex
    }
    return 'none'
  }
}

function publicProver({ algorithm, encoding = 'hex' }: Scheme, keys: readonly IndexedKey[]): Prover {
  const name = algorithm === 'ed25519' ? null : 'sha256'
  const kind = SIGNATURE_KIND[algorithm] as SignatureKind
  return (signatures, { before, after, reading }) => {
    const signed = Buffer.concat([Buffer.from(before), reading.request.body, Buffer.from(after)])
    for (const signature of signatures) {
      const bytes = decodeStrict(signature, encoding)
      if (bytes === null || bytes.length === 0) continue
      for (const { key, secretIndex } of keys) {
        if (!reading.effort.signature(kind, signed.length)) return 'spent'
        if (verifySignature(name, signed, key, bytes)) return secretIndex
      }
    }
    return 'none'
  }
}
