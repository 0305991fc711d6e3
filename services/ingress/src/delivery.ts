import type { Identity } from '@sallyport/core/event'

/** Request headers as they came: order, case and duplicates survive. */
export class HeaderList {
  readonly #raw: readonly string[]

  /** `raw`: name, value, name, value … as in Node's `IncomingMessage.rawHeaders`. */
  constructor(raw: readonly string[]) {
    this.#raw = raw
  }

  /** The first value of a header, or undefined. `name` in lower case. */
  get(name: string): string | undefined {
    const raw = this.#raw
    for (let i = 0; i < raw.length; i += 2) {
      const candidate = raw[i] as string
      if (candidate.length === name.length && candidate.toLowerCase() === name) return raw[i + 1]
    }
    return undefined
  }

  /** The only value of a header: undefined where it is absent, null where it came more than once. */
  only(name: string): string | null | undefined {
    const raw = this.#raw
    let found: string | undefined
    for (let i = 0; i < raw.length; i += 2) {
      const candidate = raw[i] as string
      if (candidate.length !== name.length || candidate.toLowerCase() !== name) continue
      if (found !== undefined) return null
      found = raw[i + 1] as string
    }
    return found
  }

  /** Every value of a header, in the order of arrival. `name` in lower case. */
  all(name: string): string[] {
    const raw = this.#raw
    const values: string[] = []
    for (let i = 0; i < raw.length; i += 2) {
      const candidate = raw[i] as string
      if (candidate.length === name.length && candidate.toLowerCase() === name)
        values.push(raw[i + 1] as string)
    }
    return values
  }

  *[Symbol.iterator](): Iterator<readonly [string, string]> {
    for (let i = 0; i < this.#raw.length; i += 2) yield [this.#raw[i] as string, this.#raw[i + 1] as string]
  }
}

/** One HTTP request, its body complete and under the limit. Nothing about it is trusted yet. */
export interface RawRequest {
  readonly method: string
  /** The absolute URL as the sender called it: scheme and host as seen by the outermost trusted proxy. */
  readonly url: string
  readonly headers: HeaderList
  /** The bytes that were signed: after transfer decoding, before any content decoding. */
  readonly body: Buffer
}

/** What the verification says of a delivery it accepted. */
export interface Verdict {
  /** Name of the scheme that accepted: a preset's name, or `custom`. */
  readonly scheme: string
  /** Which of the source's secrets matched: 0 is the current one. */
  readonly secretIndex: number
  /** What the event id is made of. */
  readonly identity: Identity
  /** The sender's own id, signed or not. */
  readonly senderId: string | null
  /** The sender's event type. */
  readonly type: string | null
  /** The sender's signed time, ms since the epoch. */
  readonly sentAt: number | null
  /**
   * The signed bytes that stay the same when the sender tries again: mostly the body alone, without times and
   * nonces. Their SHA-256 is the identity where the sender's id is not signed.
   */
  readonly signedParts: readonly (string | Buffer)[]
  /**
   * Method and query, as far as they are signed, are data and are not in `signedParts`; empty where there are none. Two
   * deliveries that differ in it are two events.
   */
  readonly signedTarget: string
  /** The query of the URL where it is signed, as written; null where there is none. */
  readonly query: string | null
}

/** An HTTP answer that a sender demands: a handshake's, or a source's own success answer. */
export interface SenderResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}
