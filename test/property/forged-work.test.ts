/** V9: what an unproven request costs, counted: bytes that are hashed, signatures that are tried, JSON that is parsed. */
import assert from 'node:assert/strict'
import crypto, { type BinaryLike, type Hash, type Hmac } from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import { verify } from '@sallyport/ingress/verify'
import { FORGED_PRESETS, forgedRequests } from '../support/forged-requests.ts'
import { codeOf, NOW_MS } from '../support/signed-request.ts'

/** SHA-384 and SHA-512 take two and a half times as long as SHA-256, where the CPU helps with the latter. */
const PRICE: Readonly<Record<string, number>> = { sha384: 2.5, sha512: 2.5 }
const HASHED_BESIDE = 1_048_576
const SIGNATURES_MAX = 7
/** Single texts and the heads of tokens. */
const PARSED_MAX = 65_536
const SIZES = [1_024, 1_048_576]
const SECRETS = [4]

/** Work since the last look. */
const work = { hashed: 0, signatures: 0, parsed: 0 }

const { createHash, createHmac, hash, publicDecrypt, verify: verifySignature } = crypto
const { parse } = JSON

const bytesOf = (data: BinaryLike) =>
  typeof data === 'string' ? Buffer.byteLength(data) : (data as Uint8Array).byteLength

function counted<T extends Hash | Hmac>(mac: T, name: string): T {
  const update = mac.update.bind(mac) as (data: BinaryLike, encoding?: crypto.Encoding) => T
  const count = (data: BinaryLike, encoding?: crypto.Encoding): T => {
    work.hashed += (PRICE[name] ?? 1) * bytesOf(data)
    update(data, encoding)
    return mac
  }
  return Object.assign(mac, { update: count })
}

function count(): void {
  Object.assign(crypto, {
    createHash: (name: string) => counted(createHash(name), name),
    createHmac: (name: string, key: crypto.KeyObject) => counted(createHmac(name, key), name),
    hash: (name: string, data: BinaryLike, encoding: 'hex') => {
      work.hashed += (PRICE[name] ?? 1) * bytesOf(data)
      return hash(name, data as string, encoding)
    },
    verify: (name: string | null, data: Buffer, key: crypto.KeyObject, signature: Buffer) => {
      work.signatures++
      // Ed25519 hashes with SHA-512.
      work.hashed += (name === null ? 2.5 : 1) * data.length
      return verifySignature(name, data, key, signature)
    },
    publicDecrypt: (key: crypto.RsaPublicKey, signature: Buffer) => {
      work.signatures++
      return publicDecrypt(key, signature)
    },
  })
  syncBuiltinESMExports()
  JSON.parse = (text: string, ...rest) => {
    work.parsed += text.length
    return parse(text, ...rest)
  }
}

function stopCounting(): void {
  Object.assign(crypto, { createHash, createHmac, hash, publicDecrypt, verify: verifySignature })
  syncBuiltinESMExports()
  JSON.parse = parse
}

describe('a request that nobody can prove', () => {
  for (const preset of FORGED_PRESETS) {
    it(`${preset.name}: three passes over its body and a constant at most, whatever its shape`, async () => {
      let most = 0
      for (const secrets of SECRETS) {
        for (const bytes of SIZES) {
          for (const { source, shape, request } of forgedRequests(preset, bytes, secrets)) {
            // The first time may fetch a key.
            await verify(source, request, NOW_MS)
            Object.assign(work, { hashed: 0, signatures: 0, parsed: 0 })
            count()
            const code = codeOf(await Promise.resolve(verify(source, request, NOW_MS)).finally(stopCounting))
            const at = `${preset.name}, ${secrets} secrets, ${request.body.length} bytes: ${shape}: ${code}`
            assert.notEqual(code, 'verified', at)
            assert.notEqual(code, 'unreadable', at)
            assert.notEqual(code, 'key-unavailable', at)
            assert(
              work.hashed <= 3 * request.body.length + HASHED_BESIDE,
              `${at}: ${work.hashed} bytes hashed`,
            )
            assert(work.signatures <= SIGNATURES_MAX, `${at}: ${work.signatures} signatures tried`)
            // Who has captured a signature of SNS may have one text of a message read, never a whole body.
            const parsedMax = code === 'wrong-signature' && preset.name === 'sns' ? request.body.length : 0
            assert(
              work.parsed <= Math.max(parsedMax, PARSED_MAX),
              `${at}: ${work.parsed} bytes of JSON parsed`,
            )
            most = Math.max(most, work.hashed + work.signatures)
          }
        }
      }
      // The counters count: all but static tokens hash something, or try a signature.
      const isToken = ['token', 'basic'].includes(preset.scheme?.algorithm ?? '')
      if (!isToken && !['msgraph', 'salesforce-outbound'].includes(preset.name)) assert(most > 0, preset.name)
    })
  }
})
