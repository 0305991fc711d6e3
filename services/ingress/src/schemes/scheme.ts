/**
 * The row: how one sender signs, as data. Most senders are one row of the preset table; a custom scheme is the
 * same row written in `sallyport.yaml`. Senders that sign in a way that no row can say have a file of their own.
 *
 * Invariants, cited by the tests:
 * V1  Bytes are verified, never text that was parsed and written again.
 * V2  A signature is compared as text with the one text that the scheme would write: no lenient decoding.
 * V3  The signature header, and every header that the signature covers, comes exactly once.
 * V4  Signed text is of one request: each part shows its own end (boundaries.ts, open-url.ts), or the text is refused.
 * V5  A signed time is bounded on both sides.
 * V6  An id that the signature of this very delivery does not cover never makes an event of its own (identity DIGEST).
 * V7  Nothing that a request holds makes verification throw.
 * V8  What is data is signed and kept: body, and where the signature covers them query and method; else it is refused.
 * V9  Before its proof a request costs at most three passes over its body and a constant (effort.ts); no body is parsed.
 */
import type { Identity } from '@sallyport/core/event'
import type { SenderResponse } from '../delivery.ts'
import type { SchemeContext } from './context.ts'
import type { SecretEncoding, TextEncoding } from './encoding.ts'
import type { Location } from './location.ts'
import type { Reading } from './reading.ts'
import type { TimeUnit } from './timestamp.ts'
import type { Verifier } from './verifier.ts'

export type Algorithm =
  | 'hmac-sha1'
  | 'hmac-sha256'
  | 'hmac-sha384'
  | 'hmac-sha512'
  /** Plain SHA-256 of a text that holds `{secret}`. Legacy senders only: no defence against length extension. */
  | 'sha256'
  | 'ed25519'
  | 'ecdsa-p256-sha256'
  | 'rsa-sha256'
  /** The header equals the secret; nothing of the request is signed. */
  | 'token'
  /** HTTP basic authentication, RFC 7617; nothing of the request is signed. */
  | 'basic'

/** Several values in one signature header: `t=1,v1=aa,v1=bb` or `v1,aa v1,bb`. */
export interface ListSyntax {
  /** Between two elements: `,`, `;` or a space. */
  readonly separator: ',' | ';' | ' '
  /** Between an element's label and its value. */
  readonly assign: '=' | ','
  /** Label of the elements that are signatures of this scheme; any of them may match, others are ignored. */
  readonly label: string
  /** Label of the element that is the signed time. */
  readonly timestamp?: string
  /** Whether blanks around elements are part of the syntax. Default false: an element with blanks is malformed. */
  readonly blanks?: boolean
  /** Whether the list is exactly the time and then one signature. Default false: any order, other labels ignored. */
  readonly fixed?: boolean
}

/** A time that the sender gives. */
export interface TimestampRule {
  /** Where it stands: a path, a header, or `list` for the signature list's own element. */
  readonly at: Location | 'list'
  readonly unit: TimeUnit
  /** How old it may be. Default `5m`. `unbounded` where the sender repeats old times for ever. */
  readonly tolerance?: string
  /** How far ahead it may be. Default: the tolerance, at most `5m`. */
  readonly future?: string
}

/** How a sender signs. */
export interface Scheme {
  readonly algorithm: Algorithm
  /** Header of the signature, token or credentials. */
  readonly header: string
  /**
   * The signed text: `{body}`, `{timestamp}` (its literal text), `{header:name}`, `{url}` (the public URL),
   * `{method}`, `{secret}` (for `sha256` only) and literal text between. Default `{body}`.
   */
  readonly signed?: string
  /** How the signature is written. Default `hex` (lower case). */
  readonly encoding?: TextEncoding
  /** Literal text before the signature, `sha256=`. */
  readonly prefix?: string
  readonly list?: ListSyntax
  /** How the secret's text becomes a key. Default `utf8`. */
  readonly secretEncoding?: SecretEncoding
  /**
   * How a public key is written: `hex` or `base64` of the raw key, or `spki` (base64 without PEM armour, or PEM).
   * With a prefix such as `whpk_`, the prefix is dropped.
   */
  readonly publicKey?: { readonly form: 'hex' | 'base64' | 'spki'; readonly prefix?: string }
  readonly timestamp?: TimestampRule
  /** Members of the JSON body that differ when the sender tries again; a digest leaves them out. */
  readonly changesOnRetry?: readonly string[]
}

/** Where a value may stand: the first that is there counts. A list within the list is joined: see `joinParts`, `typeAt`. */
export type Locations = Location | readonly (Location | readonly Location[])[]

/** How a handshake or challenge of a sender is answered; each has its rules in `handshakes.ts`. */
export type HandshakeName =
  | 'meta'
  | 'slack'
  | 'zoom'
  | 'twitch'
  | 'discord'
  | 'dropbox'
  | 'twitter'
  | 'graph'
  | 'okta'
  | 'asana'
  | 'monday'
  | 'notion'
  | 'woocommerce'
  | 'head'
  | 'salesforce'
  | 'no-events'

/** A setting of a source beyond the common ones, which only some presets take. */
export interface OptionRule {
  /** `text`, or `texts` for a list. */
  readonly kind: 'text' | 'texts'
  readonly required?: boolean
  readonly values?: readonly string[]
  /** What it means, for the settings' documentation and errors. */
  readonly words: string
}

/** How much of the URL a signature covers: all of it, path and query without the host, or nothing. */
export type SignedUrl = 'whole' | 'path' | 'none'

/** What is known of one sender. */
export interface Preset {
  /** Name in `sallyport.yaml`. */
  readonly name: string
  readonly title: string
  /** How often users meet it: 1 is the most frequent. */
  readonly rank: number
  /** Where the facts come from. */
  readonly source: string
  /**
   * What the event id is made of. SENDER_ID only where the signature covers the id and the sender repeats it on a
   * retry; deliveries that lack the id fall back to a digest.
   */
  readonly identity: Identity
  readonly identityReason: string
  /** How long the sender goes on sending one event, at most. The dedupe window is never shorter. */
  readonly retryHorizon: string
  /** Set where equal bodies are normal: how long two equal bodies count as one event at most. */
  readonly digestWindow?: string
  /** The row; absent where a file of its own verifies. */
  readonly scheme?: Scheme
  /** The sender's own code, where no row can say how it signs. A row beside it says how to sign a request. */
  readonly code?: (context: SchemeContext) => Verifier
  /** How much of the URL the sender's own code finds signed. Default `none`; of a row `signed` tells. */
  readonly signedUrl?: SignedUrl
  /** The sender's own id of the event or delivery. */
  readonly id?: Locations
  readonly type?: Locations
  /** Tells the type where no location can. Asked before `type`. */
  readonly typeOf?: (reading: Reading) => string | null
  readonly handshake?: HandshakeName | readonly HandshakeName[]
  /** Answer to an accepted delivery, where the sender demands one. Default: 200 with the event id. */
  readonly success?: SenderResponse
  /**
   * HTTP methods of deliveries. Default POST. Others only where their data are signed: GET and DELETE, whose data stand
   * in the URL, need a signature that covers it.
   */
  readonly methods?: readonly string[]
  /** HTTP methods of handshakes alone: a request that uses one is never an event. Default none. */
  readonly probes?: readonly string[]
  /** What a source of this preset must or may set. `secrets` unless said otherwise. */
  readonly needs?: 'secrets' | 'publicKeys' | 'nothing'
  readonly options?: Readonly<Record<string, OptionRule>>
  /** What somebody who uses the preset must know: what the signature does not cover, and the like. */
  readonly caution?: string
}
