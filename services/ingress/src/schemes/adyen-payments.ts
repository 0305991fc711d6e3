/**
 * Adyen payments webhooks: each item of the batch carries the base64 HMAC-SHA256 of eight of its fields, joined
 * with colons that are not escaped (the libraries do not, whatever guides say). Everything else of an item is
 * unsigned. Facts: @adyen/api-library 32.1.0 utils/hmacValidator.js; Adyen 16.0.0 (PyPI) util.py.
 */
import { createHmac } from 'node:crypto'
import { equalAscii } from './compare.ts'
import type { SchemeContext } from './context.ts'
import type { Effort } from './effort.ts'
import { TOO_MANY_TOKENS, walkJson } from './json-walk.ts'
import type { IndexedKey } from './keys.ts'
import { atPath } from './location.ts'
import { type Rejection, reject } from './rejections.ts'
import { type Authentic, BODY_ALONE, coversNothing, type Outcome, type Verifier } from './verifier.ts'

/** Adyen sends one item, where it is asked for JSON. */
const ITEMS_MAX = 50
/** No signed field of Adyen's is longer. */
const FIELD_BYTES_MAX = 1_024

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
      const seen = screen(reading.request.body)
      if ('kind' in seen) return seen
      // What a walk saw tells forgeries; what JSON says is what is believed.
      const forged = judge(seen, keys, reading.effort)
      if (forged.kind === 'rejected') return forged
      const body = reading.json()
      if (!body.ok) return reject('malformed-body')
      return judge(atPath(body.value, ['notificationItems']), keys, reading.effort)
    },
  }
}

function judge(items: unknown, keys: readonly IndexedKey[], effort: Effort): Authentic | Rejection {
  if (!Array.isArray(items) || items.length === 0 || items.length > ITEMS_MAX) {
    return reject('malformed-body', 'notificationItems is no list of items.')
  }
  const texts: string[] = []
  let secretIndex = 0
  let first: Item | undefined
  for (const entry of items) {
    const item = readItem(atPath(entry, ['NotificationRequestItem']))
    if ('kind' in item) return item
    const matched = matchItem(item, keys, effort)
    if (typeof matched !== 'number') return matched
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
}

/** Where the signed fields and the signature of an item stand. */
const FIELDS = new Set([
  'pspReference',
  'originalReference',
  'merchantAccountCode',
  'merchantReference',
  'amount.value',
  'amount.currency',
  'eventCode',
  'success',
  'additionalData.hmacSignature',
])

/** The signed fields of the items, found without parsing the body: of the shape that JSON would give. */
function screen(body: Buffer): readonly unknown[] | Rejection {
  const items: { NotificationRequestItem: Record<string, unknown> }[] = []
  let tooLong = false
  const end = walkJson(body, (path, leaf) => {
    const [list, position, kind, ...names] = path
    if (list !== 'notificationItems' || kind !== 'NotificationRequestItem') return false
    const name = names.join('.')
    if (!FIELDS.has(name) || typeof position !== 'number') return false
    tooLong = leaf.bytes > FIELD_BYTES_MAX || position >= ITEMS_MAX
    if (tooLong) return true
    items[position] ??= { NotificationRequestItem: {} }
    const item = items[position].NotificationRequestItem
    const [outer, inner] = names as [string, string | undefined]
    if (inner === undefined) item[outer] = leaf.read()
    else item[outer] = { ...(item[outer] as object | undefined), [inner]: leaf.read() }
    return false
  })
  if (tooLong) return reject('malformed-body', 'There are too many items, or a signed field is too long.')
  if (end === 'too-long') return reject('too-much-work', TOO_MANY_TOKENS)
  return end === 'malformed' ? reject('malformed-body') : items
}

function matchItem(item: Item, keys: readonly IndexedKey[], effort: Effort): number | Rejection {
  for (const { key, secretIndex } of keys) {
    if (!effort.hash('sha256', item.text.length)) return reject('too-much-work')
    if (equalAscii(item.signature, createHmac('sha256', key).update(item.text, 'utf8').digest('base64'))) {
      return secretIndex
    }
  }
  return reject('wrong-signature', 'An item is not signed with our key.')
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
