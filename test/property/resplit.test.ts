/**
 * What was signed belongs to one delivery: however the text of a signature is cut anew into body, headers, time and URL,
 * no other request that a listener would let through gives another event (V4, V6).
 */
import assert from 'node:assert/strict'
import { accept } from '@sallyport/ingress/accept'
import type { SourceSettings } from '@sallyport/ingress/sources'
import { verify } from '@sallyport/ingress/verify'
import fc from 'fast-check'
import { hmac, NOW, NOW_MS, requestOf, sourceOf } from '../support/signed-request.ts'
import {
  BASE,
  type Cut,
  customRow,
  cutsOf,
  presetRows,
  requestOfCut,
  SECRET,
  type TextRow,
  textOf,
} from '../support/signed-text.ts'

const CUTS_MAX = 60
const RFC3339 = '2027-01-01T00:00:00Z'
const TIMES = { s: String(NOW), ms: String(NOW_MS), rfc3339: RFC3339, auto: String(NOW) }

/** Signed texts that settings take, with what they need beside them. */
const TEMPLATES: readonly (readonly [
  texts: readonly string[],
  settings: Partial<SourceSettings>,
  algorithm?: 'sha256',
])[] = [
  [['{body}{url}', '{url}{body}', '{url}\n{body}', '{body}|{url}', '{method}{url}{body}'], {}],
  [['{header:x-a}.{body}', '{body}.{header:x-a}', '{header:x-a}.{header:x-b}:{body}|{header:x-c}'], {}],
  [['{body}.{header:x-a}{url}', '{body}{url}.{header:x-a}', 'v0:{header:x-a}: {body}'], {}],
  ...(['s', 'ms', 'rfc3339'] as const).map(
    unit =>
      [
        [
          ...[
            '{timestamp}{body}',
            '{body}{timestamp}',
            '{timestamp}.{body}',
            '{body}:{timestamp}',
            '{timestamp}0{body}',
          ],
          ...[
            '{timestamp}{url}{body}',
            '{body}{timestamp}{url}',
            '{body}{url}{timestamp}',
            '{timestamp}{header:x-a}.{body}',
          ],
          ...['{body}0{timestamp}', '{body}.{header:x-a}{timestamp}'],
        ],
        { timestamp: { header: 'X-Time', unit } },
      ] as const,
  ),
  [['{timestamp}.{body}', '{body}.{timestamp}', '{timestamp}:{body}'], { timestamp: { header: 'X-Time' } }],
  [['{header:x-a}{timestamp}{body}'], { timestamp: { header: 'X-Time', unit: 'rfc3339' } }],
  [
    ['{timestamp}{body}', '{body}{timestamp}'],
    { timestamp: { header: 'X-Time', unit: 's', tolerance: 'unbounded' } },
  ],
  [['{timestamp}.{body}'], { timestamp: { header: 'X-Time', tolerance: 'unbounded' } }],
  [['{secret}{body}', '{body}{secret}', '{secret}{url}{body}', '{secret}.{body}{url}'], {}, 'sha256'],
]

/** Each of them as a row of its own: with and without an id in JSON, with the URL known and not. */
const ROWS: readonly TextRow[] = [
  ...presetRows(),
  ...TEMPLATES.flatMap(([texts, settings, algorithm = 'hmac-sha256' as const]) =>
    texts.flatMap(signed =>
      [{}, { id: '$.id' }, ...(signed.includes('{url}') ? [{ url: `${BASE}?k=v` }] : [])].map(own =>
        customRow({ header: 'X-Sig', algorithm, signed }, { ...settings, ...own }),
      ),
    ),
  ),
]

/** Pieces that look like what stands beside them. */
const piece = fc.constantFrom(
  ...[
    '',
    '0',
    '1',
    '.',
    ':',
    '|',
    '\n',
    '?',
    '&',
    '=',
    '{',
    '}',
    '[',
    ']',
    ' ',
    '"',
    '\0',
    'a',
    'T',
    'Z',
    '-',
    '+',
    '/',
  ],
  ...[
    String(NOW),
    String(NOW_MS),
    RFC3339,
    '2027-01-01T00:00:00.5+00:00',
    'POST',
    'GET',
    SECRET,
    'k=v',
    '?k=v',
  ],
  ...[
    BASE,
    `${BASE}?k=v`,
    'http://127.0.0.1/webhooks/test?',
    '://',
    'https',
    '{"id":"b"}',
    '{"id":"c","n":[1]}',
  ],
)
const pieces = fc.array(piece, { maxLength: 7 }).map(list => list.join(''))
const body = fc.oneof(
  pieces,
  pieces.map(text => JSON.stringify({ id: 'a', text })),
  pieces.map(text => JSON.stringify([{ eventId: 1, text }])),
  fc.integer({ min: 0, max: 99_999 }).map(String),
)
const query = fc.constantFrom(
  '',
  '',
  '?k=v',
  '?',
  '?k=1',
  '?n=2027',
  '?u=https://hooks.example.com/webhooks/test',
)
const word = fc.constantFrom('id-1', '7', '17', '2027', 'x')

const cutOf = fc.record({
  method: fc.constantFrom('POST', 'GET'),
  query,
  body,
  words: fc.tuple(word, word, word),
})

function genuine(
  row: TextRow,
  { method, query, body, words }: typeof cutOf extends fc.Arbitrary<infer T> ? T : never,
): Cut {
  const names = row.parts.flatMap(part => (part !== 'body' && part.kind === 'header' ? [part.name] : []))
  return {
    method: row.source.methods.has(method) ? method : 'POST',
    url: row.source.url ?? BASE + query,
    time: TIMES[row.scheme.timestamp?.unit ?? 's'],
    headers: Object.fromEntries(names.map((name, i) => [name, words[i % words.length] as string])),
    body,
  }
}

/** The event of a request, or null where it is refused. */
function eventOf(row: TextRow, cut: Cut, signature: string): string | null {
  const verification = verify(row.source, requestOfCut(row, cut, signature), NOW_MS)
  assert(!(verification instanceof Promise))
  if (verification.kind !== 'verified') return null
  return accept('test', verification.delivery, [], NOW_MS).id
}

function isJson(text: string): boolean {
  try {
    return typeof JSON.parse(text) === 'object'
  } catch {
    return false
  }
}

type Fields = readonly (readonly [name: string, value: string])[]

/** Senders that sign URL and fields joined without a mark; Plivo a nonce as well, which stands after the last dot. */
const FIELD_SENDERS = (['twilio', 'mandrill', 'plivo'] as const).map(name => {
  const source = sourceOf({ preset: name, secrets: ['s'] })
  const hash = name === 'plivo' ? 'sha256' : 'sha1'
  const header = {
    twilio: 'X-Twilio-Signature',
    mandrill: 'X-Mandrill-Signature',
    plivo: 'X-Plivo-Signature-V3',
  }[name]
  return {
    name,
    signText: (text: string) => hmac(hash, 's', text, 'base64'),
    textOf(url: string, form: Fields): string {
      const joined = [...form].sort(([a], [b]) => (a < b ? -1 : 1)).map(([field, value]) => field + value)
      const mark = name === 'plivo' && form.length > 0 ? (url.includes('?') ? '.' : '?') : ''
      return url + mark + joined.join('') + (name === 'plivo' ? '.n' : '')
    },
    /** The event of a request; for Plivo the nonce is what stands after each dot in turn. */
    eventOf(url: string, form: Fields, proof: string, nonce = 'n'): string | null {
      const headers = {
        'Content-Type': 'application/x-www-form-urlencoded',
        [header]: proof,
        ...(name === 'plivo' ? { 'X-Plivo-Signature-V3-Nonce': nonce } : {}),
      }
      const body = new URLSearchParams(
        form.map(([field, value]): [string, string] => [field, value]),
      ).toString()
      const verification = verify(source, requestOf({ url, headers, body }), NOW_MS)
      assert(!(verification instanceof Promise))
      return verification.kind === 'verified' ? accept('test', verification.delivery, [], NOW_MS).id : null
    },
  }
})

const fieldText = fc.stringMatching(/^[A-Ca-c0-2.?=&]{1,6}$/)
const fields = fc.uniqueArray(fc.tuple(fieldText, fieldText), { selector: ([name]) => name, maxLength: 4 })
const tail = fc.constantFrom('', '', '?a=1', '?c=1&d=2')

/** Other requests that might have the text: its end as other fields, and as more of a query. */
function* recuts(
  text: string,
  url: string,
  cuts: readonly number[],
): Generator<readonly [string, Fields, string?]> {
  for (let dot = text.indexOf('.', url.length); dot !== -1; dot = text.indexOf('.', dot + 1)) {
    yield [url, [[text.slice(url.length + 1, dot), '']], text.slice(dot + 1)]
  }
  for (let from = url.length; from < text.length; from++) {
    if (from > url.length && !url.includes('?')) break
    const rest = text.slice(from)
    const places = [...new Set(cuts.map(cut => cut % (rest.length + 1)))].sort((a, b) => a - b)
    const texts = [0, ...places].map((start, i) => rest.slice(start, places[i] ?? rest.length))
    const pairs = Array.from(
      { length: Math.ceil(texts.length / 2) },
      (_, i) => [texts[2 * i] ?? '', texts[2 * i + 1] ?? ''] as const,
    )
    yield [text.slice(0, from), pairs]
    yield [text.slice(0, from), [[rest, '']]]
    yield [text.slice(0, from), [[rest.replace(/^[.?]/, '').replace(/\.n$/, ''), '']]]
  }
}

/** Ends in another order each time, those next to the place itself first: bytes wander a few at a time. */
function shuffled(seed: number): (ends: number[]) => number[] {
  let state = seed
  const next = () => (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648)
  return ends =>
    ends
      .map(end => [next(), end] as const)
      .sort(([a], [b]) => a - b)
      .map(([, end]) => end)
}

describe('a text that was signed', function () {
  this.timeout(120_000)

  it('of every row is of one event only, however it is cut anew', () => {
    assert(ROWS.length > 100)
    let tried = 0
    fc.assert(
      fc.property(fc.constantFrom(...ROWS), cutOf, fc.nat(), fc.boolean(), (row, parts, seed, anyHost) => {
        const cut = genuine(row, parts)
        const text = textOf(row, cut)
        const signature = row.signText(text)
        const event = eventOf(row, cut, signature)
        // A sender whose ids stand in JSON sends nothing else.
        fc.pre(event !== null || !row.source.wantsJson || isJson(parts.body))
        for (const other of cutsOf(row, text, shuffled(seed), CUTS_MAX, anyHost)) {
          if (JSON.stringify(other) === JSON.stringify(cut)) continue
          tried++
          const forged = eventOf(row, other, signature)
          if (forged === null) continue
          assert.equal(
            forged,
            event,
            `${row.title}: ${JSON.stringify(cut)} is ${event}, ${JSON.stringify(other)} is another event`,
          )
        }
      }),
      { numRuns: 15_000 },
    )
    assert(tried > 20_000, String(tried))
  })

  it('is accepted as the sender sent it, by every row', () => {
    for (const row of ROWS) {
      const cut = genuine(row, { method: 'POST', query: '', body: '{"id":"a"}', words: ['id-1', 'x', '7'] })
      assert.notEqual(eventOf(row, cut, row.signText(textOf(row, cut))), null, row.title)
    }
  })

  it('of every sender with code of its own is of one event only, however fields and query are cut anew', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...FIELD_SENDERS),
        fields,
        tail,
        fc.array(fc.nat(40), { maxLength: 6 }),
        (sender, form, query, cuts) => {
          const url = BASE + query
          const proof = sender.signText(sender.textOf(url, form))
          const event = sender.eventOf(url, form, proof)
          assert(event !== null || query !== '', `${sender.name}: ${JSON.stringify(form)}`)
          for (const [otherUrl, other, nonce] of recuts(sender.textOf(url, form), url, cuts)) {
            const forged = sender.eventOf(otherUrl, other, proof, nonce)
            if (forged !== null)
              assert.equal(forged, event, `${sender.name}: ${JSON.stringify([url, form, otherUrl, other])}`)
          }
        },
      ),
      { numRuns: 10_000 },
    )
  })
})
