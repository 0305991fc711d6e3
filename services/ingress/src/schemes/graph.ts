/**
 * Microsoft Graph: each item of a batch repeats the clientState that we chose. Nothing is signed; rich
 * notifications with encrypted content are not taken apart here.
 * Facts: learn.microsoft.com graph/change-notifications-delivery-webhooks.
 */
import { equalBytes } from './compare.ts'
import type { SchemeContext } from './context.ts'
import { asLabel, atPath } from './location.ts'
import { reject } from './rejections.ts'
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
