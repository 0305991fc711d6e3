/**
 * Adyen payments webhooks: each item of the batch carries the base64 HMAC-SHA256 of eight of its fields, joined
 * with colons that are not escaped (the libraries do not, whatever guides say). Everything else of an item is
 * unsigned. Facts: @adyen/api-library 32.1.0 utils/hmacValidator.js; Adyen 16.0.0 (PyPI) util.py.
 */
import { createHmac } from 'node:crypto'
import { equalAscii } from './compare.ts'
import type { SchemeContext } from './context.ts'
import type { IndexedKey } from './keys.ts'
import { atPath } from './location.ts'
import { type Rejection, reject } from './rejections.ts'
import { BODY_ALONE, coversNothing, type Outcome, type Verifier } from './verifier.ts'

const ITEMS_MAX = 1000

interface Item {
  readonly text: string
  readonly signature: string
  readonly pspReference: string
  readonly eventCode: string
}

export function adyenPayments(context: SchemeContext): Verifier {
  const keys = context.keys('hex')
  return {
    proof: [],
    requestLine: BODY_ALONE,
    authenticate(reading): Outcome {
      const body = reading.json()
      if (!body.ok) return reject('malformed-body')
      const items = atPath(body.value, ['notificationItems'])
      if (!Array.isArray(items) || items.length === 0 || items.length > ITEMS_MAX) {
        return reject('malformed-body', 'notificationItems is no list of items.')
      }
      const texts: string[] = []
      let secretIndex = 0
      let first: Item | undefined
      for (const entry of items) {
        const item = readItem(atPath(entry, ['NotificationRequestItem']))
        if ('kind' in item) return item
        const matched = matchItem(item, keys)
        if (matched === -1) return reject('wrong-signature', 'An item is not signed with our key.')
        secretIndex = Math.max(secretIndex, matched)
        texts.push(item.text)
        first ??= item
      }
      const { pspReference, eventCode } = first as Item
      return {
        kind: 'authentic',
        secretIndex,
        sentAt: null,
        // Each item is signed alone: in another order, or twice, they are no other event.
        signedParts: [...new Set(texts)].sort(),
        covers: coversNothing,
        id: `${pspReference}:${eventCode}`,
        type: eventCode,
      }
    },
  }
}

function matchItem(item: Item, keys: readonly IndexedKey[]): number {
  for (const { key, secretIndex } of keys) {
    if (equalAscii(item.signature, createHmac('sha256', key).update(item.text, 'utf8').digest('base64'))) {
      return secretIndex
    }
  }
  return -1
}

/** V4: amounts are whole numbers and `success` a truth value, so that no field can pose as its neighbour. */
function readItem(item: unknown): Item | Rejection {
  const text = (name: string) => atPath(item, [name])
  const signature = atPath(item, ['additionalData', 'hmacSignature'])
  if (signature === undefined || signature === '') return reject('missing-signature')
  const [pspReference, eventCode] = [text('pspReference'), text('eventCode')]
  const [account, success] = [text('merchantAccountCode'), text('success')]
  const [original, reference] = [text('originalReference') ?? '', text('merchantReference') ?? '']
  const value = atPath(item, ['amount', 'value'])
  const currency = atPath(item, ['amount', 'currency'])
  if (
    typeof signature !== 'string' ||
    typeof pspReference !== 'string' ||
    pspReference === '' ||
    typeof eventCode !== 'string' ||
    !/^[A-Z0-9_]{1,100}$/.test(eventCode) ||
    typeof account !== 'string' ||
    typeof original !== 'string' ||
    typeof reference !== 'string' ||
    !isWholeNumber(value) ||
    typeof currency !== 'string' ||
    !/^[A-Z]{3}$/.test(currency) ||
    !/^(true|false)$/.test(String(success))
  ) {
    return reject('malformed-body', 'A signed field of an item is missing or of another kind.')
  }
  const fields = [
    pspReference,
    original,
    account,
    reference,
    String(value),
    currency,
    eventCode,
    String(success),
  ]
  return { text: fields.join(':'), signature, pspReference, eventCode }
}

function isWholeNumber(value: unknown): boolean {
  return Number.isSafeInteger(value) || (typeof value === 'string' && /^-?\d{1,15}$/.test(value))
}
