/**
 * Sealing of secrets that lie in a topic: whoever reads the topic reads nothing without a key from the settings.
 *
 * AES-256-GCM under a key that HKDF-SHA-256 (RFC 5869) derives from the setting's text. What a secret belongs to is bound
 * to it, so that a sealed one cannot be moved to another source.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto'
import { SallyportError } from './errors.ts'

/** Shortest text of a sealing key, characters: 32 of a random alphabet are more than anybody can try. */
const KEY_TEXT_MIN = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const ID_CHARS = 12

export interface Sealed {
  readonly keyId: string
  readonly sealed: Buffer
}

interface SealingKey {
  readonly id: string
  readonly key: Buffer
}

export class SealingKeys {
  readonly #keys: readonly SealingKey[]

  /** The first seals, all of them open. Throws `SP_SETTINGS` where there is none, or one is too short. */
  constructor(texts: readonly string[], setting: string) {
    if (texts.length === 0) throw new SallyportError('SP_SETTINGS', `${setting} is empty: name a key`)
    if (texts.some(text => text.length < KEY_TEXT_MIN)) {
      throw new SallyportError(
        'SP_SETTINGS',
        `${setting} holds a key of fewer than ${KEY_TEXT_MIN} characters: make one with openssl rand -base64 32`,
      )
    }
    this.#keys = texts.map(text => {
      const key = Buffer.from(hkdfSync('sha256', text, '', 'sallyport sealing 1', 32))
      return { id: createHash('sha256').update(key).digest('hex').slice(0, ID_CHARS), key }
    })
  }

  /** `owner`: what the secret belongs to; only with the same text it can be opened. */
  seal(secret: string, owner: string): Sealed {
    const { id, key } = this.#keys[0] as SealingKey
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(owner, 'utf8'))
    const text = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()])
    return { keyId: id, sealed: Buffer.concat([nonce, cipher.getAuthTag(), text]) }
  }

  /** The secret, or undefined where no key opens it. Never throws. */
  open({ keyId, sealed }: Sealed, owner: string): string | undefined {
    const key = this.#keys.find(({ id }) => id === keyId)?.key
    if (key === undefined || sealed.length < NONCE_BYTES + TAG_BYTES) return undefined
    const nonce = sealed.subarray(0, NONCE_BYTES)
    const tag = sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES)
    try {
      const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
        .setAAD(Buffer.from(owner, 'utf8'))
        .setAuthTag(tag)
      const text = decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES))
      return Buffer.concat([text, decipher.final()]).toString('utf8')
    } catch {
      return undefined
    }
  }
}
