/**
 * Microsoft Graph: each item of a batch repeats the clientState that we chose. Nothing is signed; rich
 * notifications with encrypted content are not taken apart here.
 * Facts: learn.microsoft.com graph/change-notifications-delivery-webhooks.
 */
import { equalBytes } from './compare.ts'
import type { SchemeContext } from './context.ts'
import { TOO_MANY_TOKENS, walkJson } from './json-walk.ts'
import { asLabel, atPath } from './location.ts'
import { type Rejection, reject } from './rejections.ts'
import { BODY_ALONE, bodyParts, coversNothing, type Outcome, type Verifier } from './verifier.ts'

const ITEMS_MAX = 1000

export function graph(context: SchemeContext): Verifier {
  const expected = context
    .keys()
    .map(({ text, secretIndex }) => ({ bytes: Buffer.from(text, 'utf8'), secretIndex }))
  const indexOf = (state: string): number => {
    const given = Buffer.from(state, 'utf8')
    return expected.find(({ bytes }) => equalBytes(given, bytes))?.secretIndex ?? -1
  }
  return {
    proof: [],
    requestLine: BODY_ALONE,
    authenticate(reading): Outcome {
      const forged = screen(reading.request.body, state => indexOf(state) !== -1)
      if (forged !== null) return forged
      const items = atPath(reading.json().value, ['value'])
      if (!Array.isArray(items) || items.length === 0 || items.length > ITEMS_MAX) {
        return reject('malformed-body', 'value is no list of notifications.')
      }
      let secretIndex = 0
      for (const item of items) {
        const state = atPath(item, ['clientState'])
        if (state === undefined || state === null || state === '')
          return reject('missing-signature', 'clientState is missing.')
        const matched = typeof state === 'string' ? indexOf(state) : -1
        if (matched === -1) return reject('wrong-token', 'A clientState is not ours.')
        secretIndex = Math.max(secretIndex, matched)
      }
      const first = items[0]
      return {
        kind: 'authentic',
        secretIndex,
        sentAt: null,
        signedParts: bodyParts(reading.request.body, ''),
        covers: coversNothing,
        id: asLabel(atPath(first, ['id'])),
        type: asLabel(atPath(first, ['changeType'])) ?? asLabel(atPath(first, ['lifecycleEvent'])),
      }
    },
  }
}

/** No clientState that Graph takes is longer: 128 characters. */
const STATE_BYTES_MAX = 1_024

/** Null where the first clientState is ours: only then is the body parsed, and every item looked at. */
function screen(body: Buffer, isOurs: (state: string) => boolean): Rejection | null {
  let state: unknown
  const end = walkJson(body, ([list, , name, ...deeper], leaf) => {
    if (list !== 'value' || name !== 'clientState' || deeper.length > 0) return false
    state = leaf.bytes > STATE_BYTES_MAX ? 'too long to be ours' : leaf.read()
    return true
  })
  if (end === 'too-long') return reject('too-much-work', TOO_MANY_TOKENS)
  if (end === 'malformed') return reject('malformed-body', 'value is no list of notifications.')
  if (state === undefined || state === null || state === '')
    return reject('missing-signature', 'clientState is missing.')
  if (typeof state === 'string' && isOurs(state)) return null
  return reject('wrong-token', 'A clientState is not ours.')
}
