import type { RejectionCode } from '@sallyport/ingress/schemes/rejections'

/** The steps of every scheme, in order. */
export const STEPS = {
  there: 'the signature is there, once',
  parts: 'the signed time, id and headers are there and well formed',
  form: 'the signature is written as this sender writes it',
  key: 'the key is one of the sender’s',
  match: 'the signature matches the request',
  time: 'the signed time is near enough to now',
  allowed: 'the sender may do this here',
  fields: 'the required fields are there, and the body fits its JSON Schema',
} as const

export type Step = keyof typeof STEPS

export const FAILED_AT: Readonly<Record<RejectionCode, Step>> = {
  'missing-signature': 'there',
  'duplicate-signature': 'there',
  'malformed-body': 'there',
  'method-not-allowed': 'there',
  'no-secret-yet': 'there',
  'missing-timestamp': 'parts',
  'malformed-timestamp': 'parts',
  'missing-id': 'parts',
  'duplicate-header': 'parts',
  'ambiguous-text': 'parts',
  'malformed-signature': 'form',
  'unknown-signature-version': 'form',
  'malformed-token': 'form',
  'wrong-algorithm': 'form',
  'forbidden-key-url': 'key',
  'unknown-key': 'key',
  'expired-key': 'key',
  'wrong-signature': 'match',
  'too-much-work': 'match',
  'wrong-token': 'match',
  'wrong-claim': 'match',
  'body-not-bound': 'match',
  'stale-timestamp': 'time',
  'future-timestamp': 'time',
  'challenge-refused': 'allowed',
  'secret-not-expected': 'there',
  'topic-not-allowed': 'allowed',
  'not-json': 'fields',
  'missing-field': 'fields',
  'schema-mismatch': 'fields',
  unreadable: 'there',
}

/** A step, and how far the verification came with it. */
export interface StepTaken {
  readonly step: Step
  readonly state: 'ok' | 'failed' | 'not looked at'
}

/** The steps of a request that was rejected with a code, or passed them all. */
export function stepsTaken(code?: RejectionCode): StepTaken[] {
  const steps = Object.keys(STEPS) as Step[]
  const failed = code === undefined ? steps.length : steps.indexOf(FAILED_AT[code])
  return steps.map((step, i) => ({
    step,
    state: i < failed ? 'ok' : i === failed ? 'failed' : 'not looked at',
  }))
}
