/**
 * Every reason for which a request is not let in, in plain words. The code stands in the answer's problem
 * document, in the log and in the metrics; the words are what `sallyport verify` prints.
 */

interface RejectionEntry {
  /**
   * 400: the request is no delivery of this sender. 401: its proof is missing or wrong. 403: proven, but not ours. 405: its
   * data would stand where nothing signs them.
   */
  readonly status: 400 | 401 | 403 | 405
  readonly words: string
}

export const REJECTIONS = {
  'missing-signature': {
    status: 401,
    words:
      'The signature is absent or empty. Is the secret set at the sender, and does a proxy drop the header?',
  },
  'duplicate-signature': {
    status: 401,
    words:
      'The signature header came more than once. A proxy or an attacker added one; none of them is used.',
  },
  'malformed-signature': {
    status: 401,
    words:
      'The signature is not written as this sender writes it: wrong prefix, encoding, alphabet or length. Is the right preset chosen?',
  },
  'wrong-signature': {
    status: 401,
    words:
      'The signature does not match. Either the secret differs from the sender’s, or the body or URL was changed on the way (re-encoded JSON, a stripped newline, another public URL).',
  },
  'unknown-signature-version': {
    status: 401,
    words: 'There are signatures, but none of a version or algorithm that this scheme uses.',
  },
  'missing-timestamp': {
    status: 401,
    words: 'The signed time is absent or empty.',
  },
  'duplicate-header': {
    status: 401,
    words: 'A header that the signature covers came more than once, so that it is not clear what was signed.',
  },
  'malformed-timestamp': {
    status: 401,
    words: 'The signed time is not written as this sender writes it (digits only, or RFC 3339).',
  },
  'stale-timestamp': {
    status: 401,
    words:
      'The signature is genuine but too old: a replay, a slow retry, or a clock that is wrong. The tolerance is a setting of the source.',
  },
  'future-timestamp': {
    status: 401,
    words:
      'The signature is genuine but from the future: a clock is wrong. The tolerance is a setting of the source.',
  },
  'missing-id': {
    status: 401,
    words: 'The message id, a part of the signed text, is absent or empty.',
  },
  'ambiguous-text': {
    status: 401,
    words:
      'A signed header contains the separator of the signed text, so that a part of the body could pose as a part of the header.',
  },
  'too-much-work': {
    status: 401,
    words:
      'Nothing matched so far, and more is not tried: the body is too long for so many secrets, signatures or writings of the signed text. Remove secrets that are no longer used.',
  },
  'wrong-token': {
    status: 401,
    words: 'The static token or password does not match.',
  },
  'malformed-token': {
    status: 401,
    words: 'The JSON Web Token is not well formed.',
  },
  'wrong-algorithm': {
    status: 401,
    words: 'The request names a signature algorithm that this sender does not use.',
  },
  'wrong-claim': {
    status: 401,
    words: 'The JSON Web Token is genuine, but was made for another audience, issuer, URL or account.',
  },
  'body-not-bound': {
    status: 401,
    words: 'The signature is genuine, but belongs to another body.',
  },
  'unknown-key': {
    status: 401,
    words: 'The request names a key that the sender does not publish.',
  },
  'forbidden-key-url': {
    status: 401,
    words: 'The certificate’s address is not one of the sender’s, so it was not fetched.',
  },
  'expired-key': {
    status: 401,
    words: 'The certificate or key is outside its period of validity.',
  },
  'no-secret-yet': {
    status: 401,
    words:
      'The source waits for the sender’s handshake and has no secret yet. Run: npx sallyport sources learn NAME.',
  },
  'challenge-refused': {
    status: 403,
    words:
      'The handshake is not answered: wrong verify token, or a challenge that this sender would not send.',
  },
  'secret-not-expected': {
    status: 401,
    words:
      'A handshake offers a secret, and no operator lets this source learn one: not now, not from there, or not without the nonce in the URL. Run: npx sallyport sources learn NAME.',
  },
  'topic-not-allowed': {
    status: 403,
    words: 'The message is genuine, but its topic is not on the source’s allow-list.',
  },
  'malformed-body': {
    status: 400,
    words: 'The body lacks the structure in which this sender puts its signature or its signed fields.',
  },
  'method-not-allowed': {
    status: 405,
    words:
      'The source takes no delivery with this method: its data would stand where the signature does not reach, and be lost.',
  },
  'not-json': {
    status: 400,
    words: 'The body is genuine but no JSON, and the source names fields in it or sets a JSON Schema.',
  },
  'missing-field': {
    status: 400,
    words: 'The body is genuine but a required field is missing or empty.',
  },
  'schema-mismatch': {
    status: 400,
    words: 'The body is genuine but does not fit the JSON Schema of the source (bodySchema).',
  },
  unreadable: {
    status: 400,
    words: 'The request could not be read at all. This is a fault of the verifier: please report it.',
  },
} as const satisfies Record<string, RejectionEntry>

export type RejectionCode = keyof typeof REJECTIONS

/** A request that is not let in. */
export interface Rejection {
  readonly kind: 'rejected'
  readonly code: RejectionCode
  readonly status: 400 | 401 | 403 | 405
  /** What was found, for the sender's developer. Never holds a secret or an expected signature. */
  readonly detail: string
  /** The proof held, and the body that it vouches for has no usable time. */
  readonly isProven?: true
}

/** A rejection; `detail` adds what was found to the catalogue's words. */
export function reject(code: RejectionCode, detail?: string): Rejection {
  const entry = REJECTIONS[code]
  return { kind: 'rejected', code, status: entry.status, detail: detail ?? entry.words }
}

/**
 * Not decidable now, through no fault of the sender: a certificate could not be fetched. Answered with 503, since
 * several senders never repeat a delivery after a 4xx.
 */
export interface Unavailable {
  readonly kind: 'unavailable'
  readonly code: 'key-unavailable'
  readonly detail: string
}
