/** Sentences that many presets share: why an event id is what it is, and what a source must know. */

export const BODY_ID = 'the id stands in the signed body and is repeated on every retry'
export const HEADER_ID = 'the id header is not signed: a replay could carry a fresh one'
export const NO_ID = 'the sender gives no id'
export const SIGNED_ID = 'the message id is signed, and repeated on every retry'
export const NOT_SIGNED =
  'nothing of the request is signed, so no id is worth more than the body that holds it'

/** Of presets whose sender chooses the secret and hands it over. */
export const LEARNS =
  'The sender chooses the secret and hands it over: set awaitSecret: true instead of secrets, and run sallyport sources learn.'
