import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto'
import { SallyportError } from '@sallyport/core/errors'
import { decodeStrict, type SecretEncoding, secretKeys } from './encoding.ts'
import type { Algorithm, Scheme } from './scheme.ts'

/** A key ready for use, and which of the source's secrets it came from. */
export interface IndexedKey {
  readonly key: KeyObject
  readonly secretIndex: number
  /** The secret's text, for schemes that compare or hash it. */
  readonly text: string
}

/** The source's secrets as keys; throws `SP_SECRET_MISSING` for none or an empty one, `SP_SETTINGS` for a bad form. */
export function compileSecrets(
  source: string,
  secrets: readonly string[],
  encoding: SecretEncoding,
): IndexedKey[] {
  if (secrets.length === 0) {
    throw new SallyportError(
      'SP_SECRET_MISSING',
      `the source ${source} has no secret: set sources.${source}.secrets, for instance ['\${env:${source.toUpperCase().replaceAll('-', '_')}_WEBHOOK_SECRET}']`,
    )
  }
  return secrets.flatMap((text, secretIndex) => {
    if (typeof text !== 'string' || text.trim() === '') {
      throw new SallyportError(
        'SP_SECRET_MISSING',
        `sources.${source}.secrets[${secretIndex}] is empty: an empty secret signs for everybody. Set the variable or file that it names`,
      )
    }
    const keys = secretKeys(text, encoding)
    if (keys === null || keys.some(key => key.length === 0)) {
      throw new SallyportError(
        'SP_SETTINGS',
        `sources.${source}.secrets[${secretIndex}] is not written as ${encoding}: copy it as the sender shows it`,
      )
    }
    return keys.map(key => ({ key: createSecretKey(key), secretIndex, text }))
  })
}

const KEY_TYPE: Partial<Record<Algorithm, string>> = {
  ed25519: 'ed25519',
  'ecdsa-p256-sha256': 'ec',
  'rsa-sha256': 'rsa',
}

/** The source's public keys; throws `SP_SECRET_MISSING` for none, `SP_SETTINGS` for one that cannot be read. */
export function compilePublicKeys(source: string, texts: readonly string[], scheme: Scheme): IndexedKey[] {
  if (texts.length === 0) {
    throw new SallyportError(
      'SP_SECRET_MISSING',
      `the source ${source} has no public key: set sources.${source}.publicKeys as the sender shows them`,
    )
  }
  return texts.map((text, secretIndex) => {
    try {
      const key = publicKey(text.trim(), scheme)
      if (key.asymmetricKeyType !== KEY_TYPE[scheme.algorithm]) throw new Error('other key type')
      return { key, secretIndex, text }
    } catch (cause) {
      throw new SallyportError(
        'SP_SETTINGS',
        `sources.${source}.publicKeys[${secretIndex}] cannot be read as a key for ${scheme.algorithm}: copy it as the sender shows it`,
        { cause },
      )
    }
  })
}

function publicKey(text: string, scheme: Scheme): KeyObject {
  const rule = scheme.publicKey ?? { form: 'spki' }
  if (text.startsWith('-----BEGIN')) return createPublicKey(text)
  const bare =
    rule.prefix !== undefined && text.startsWith(rule.prefix) ? text.slice(rule.prefix.length) : text
  if (rule.form === 'spki') {
    return createPublicKey({ key: Buffer.from(bare, 'base64'), format: 'der', type: 'spki' })
  }
  const raw = decodeStrict(rule.form === 'hex' ? bare.toLowerCase() : bare, rule.form)
  if (raw === null || raw.length !== 32) throw new Error('not 32 bytes')
  return createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') },
    format: 'jwk',
  })
}
