/**
 * What a request may cost before its proof: three plain HMAC-SHA256 of its body, and a constant besides. A stranger
 * chooses the body, how many signatures it lists and in which form; so every hash and every verification of a
 * signature is paid for here first, and what cannot be paid is not computed.
 *
 * The unit is the time that SHA-256 takes for one byte. The prices were measured with Node 24 on a CPU with SHA
 * instructions, where SHA-256 is cheap beside everything else (`npm run bench:forged`).
 */

export type HashName = 'sha1' | 'sha256' | 'sha384' | 'sha512'

/** The keys of signatures with a private key. */
export type SignatureKind = 'ed25519' | 'ecdsa' | 'rsa'

/** How many times its body's bytes a request may have hashed. */
const BODY_PASSES = 3
/** What is allowed beside the passes, in bytes of SHA-256: about 0.7 ms. */
const CONSTANT_BYTES = 1_048_576
/** What a hash costs before its first byte. */
const HASH_BYTES = 8_192
const BYTE_PRICE: Readonly<Record<HashName, number>> = { sha1: 1, sha256: 1, sha384: 2.5, sha512: 2.5 }
const SIGNATURE_BYTES: Readonly<Record<SignatureKind, number>> = {
  ed25519: 230_400,
  ecdsa: 139_264,
  rsa: 139_264,
}
/** Ed25519 hashes the text with SHA-512, anew for each signature and key. */
const SIGNATURE_HASH: Readonly<Record<SignatureKind, HashName>> = {
  ed25519: 'sha512',
  ecdsa: 'sha256',
  rsa: 'sha256',
}

/** What is left of one request's allowance. */
export class Effort {
  #left: number

  constructor(bodyBytes: number) {
    this.#left = BODY_PASSES * bodyBytes + CONSTANT_BYTES
  }

  /** Whether a text of so many bytes may still be hashed; if so, it is paid. */
  hash(name: HashName, bytes: number): boolean {
    return this.#pay(HASH_BYTES + BYTE_PRICE[name] * bytes)
  }

  /** Whether one signature may still be tried with one key over a text of so many bytes; if so, it is paid. */
  signature(kind: SignatureKind, bytes: number): boolean {
    return this.#pay(SIGNATURE_BYTES[kind] + BYTE_PRICE[SIGNATURE_HASH[kind]] * bytes)
  }

  #pay(price: number): boolean {
    if (price > this.#left) return false
    this.#left -= price
    return true
  }
}
