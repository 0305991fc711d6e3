/** Forgeries of every preset, 10,000 requests each family: never a throw, never an accepted mutation (V7). */
import assert from 'node:assert/strict'
import { generateKeyPairSync, sign as signWith } from 'node:crypto'
import { listPresets } from '@sallyport/ingress/schemes/presets'
import { sign } from '@sallyport/ingress/schemes/sign'
import type { SourceSettings } from '@sallyport/ingress/sources'
import { verify } from '@sallyport/ingress/verify'
import fc from 'fast-check'
import { codeOf, hmac, NOW, NOW_MS, requestOf, sharedToken, sourceOf } from '../support/signed-request.ts'

const RUNS = { numRuns: 10_000 }
const URL = 'https://hooks.example.com/in'
const FORM = 'application/x-www-form-urlencoded'

/** Presets whose rows can sign here, with settings and the body that a delivery of theirs needs. */
const SIGNED = listPresets().flatMap(preset => {
  const { scheme, needs, name } = preset
  if (scheme === undefined || needs === 'publicKeys') return []
  const settings: SourceSettings = {
    preset: name,
    secrets: ['c0ffeec0ffeec0ff'],
    url: URL,
    ...(scheme.algorithm === 'basic' ? { username: 'user' } : {}),
  }
  const body = Buffer.from(
    name === 'linear'
      ? `{"id":"1","webhookTimestamp":${NOW_MS}}`
      : '{"id":"1","type":"thing.done","n":[1,2]}',
  )
  const ids = [...(scheme.signed ?? '').matchAll(/\{header:([^}]+)\}/g)].map(match => [
    match[1] ?? '',
    'id-1',
  ])
  const headers = sign(name, settings, { body, nowMs: NOW_MS, url: URL, headers: Object.fromEntries(ids) })
  return [{ name, scheme, source: sourceOf(settings), headers, body }]
})

type Signed = (typeof SIGNED)[number]

function code({ source }: Signed, headers: Record<string, string>, body: Buffer): string {
  const verification = verify(source, requestOf({ url: URL, headers, body }), NOW_MS)
  assert(!(verification instanceof Promise))
  assert(verification.kind !== 'rejected' || verification.code !== 'unreadable')
  return codeOf(verification)
}

/** One character replaced, added or removed. */
const mutation = fc.record({
  kind: fc.constantFrom('replace', 'insert', 'remove', 'case'),
  at: fc.nat(),
  character: fc.oneof(
    fc.constantFrom(...'0123456789abcdefABCDEF+/-_=,. v'),
    fc.string({ minLength: 1, maxLength: 1, unit: 'binary' }),
  ),
})

function mutate(
  text: string,
  { kind, at, character }: { kind: string; at: number; character: string },
): string {
  const i = at % Math.max(1, text.length)
  if (kind === 'insert') return text.slice(0, i) + character + text.slice(i)
  if (kind === 'remove') return text.slice(0, i) + text.slice(i + 1)
  if (kind === 'case') return text.slice(0, i) + swapCase(text.charAt(i)) + text.slice(i + 1)
  return text.slice(0, i) + character + text.slice(i + 1)
}

function swapCase(character: string): string {
  return character === character.toLowerCase() ? character.toUpperCase() : character.toLowerCase()
}

describe('forgeries', () => {
  it('what a row signs, it accepts', () => {
    assert(SIGNED.length >= 60)
    for (const signed of SIGNED)
      assert.equal(code(signed, signed.headers, signed.body), 'verified', signed.name)
  })

  it('V2: no mutation of a signature header is accepted, of any preset', () => {
    fc.assert(
      fc.property(fc.constantFrom(...SIGNED), mutation, (signed, change) => {
        const { header, list, algorithm } = signed.scheme
        const genuine = signed.headers[header] ?? ''
        const mutated = mutate(genuine, change)
        if (mutated === genuine) return
        const result = code(signed, { ...signed.headers, [header]: mutated }, signed.body)
        // Blanks around elements are the syntax of some lists, and "Basic" is written in any case.
        const sameMeaning =
          (list?.blanks === true && mutated.replaceAll(' ', '') === genuine) ||
          (algorithm === 'basic' &&
            /^basic +/i.test(mutated) &&
            mutated.replace(/^basic +/i, '') === genuine.slice(6))
        if (!sameMeaning) assert.notEqual(result, 'verified', `${signed.name}: ${mutated}`)
      }),
      RUNS,
    )
  })

  it('V1: no mutation of a signed body is accepted, of any preset', () => {
    const bound = SIGNED.filter(({ scheme }) => scheme.algorithm !== 'token' && scheme.algorithm !== 'basic')
    fc.assert(
      fc.property(fc.constantFrom(...bound), mutation, (signed, change) => {
        const body = Buffer.from(mutate(signed.body.toString('latin1'), change), 'latin1')
        if (body.equals(signed.body)) return
        assert.notEqual(code(signed, signed.headers, body), 'verified', `${signed.name}: ${body.toString()}`)
      }),
      RUNS,
    )
  })

  it('V7: no header and no body makes any preset throw', () => {
    const names = fc.constantFrom(
      ...new Set(SIGNED.flatMap(({ headers }) => Object.keys(headers))),
      'Content-Type',
      'Authorization',
    )
    const value = fc.oneof(
      fc.string(),
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.constantFrom(FORM, 'application/json', `t=${NOW},v1=`, 'v1,', 'Bearer a.b.c'),
    )
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.json().map(json => Buffer.from(json)),
      fc.webQueryParameters().map(query => Buffer.from(query)),
    )
    fc.assert(
      fc.property(
        fc.constantFrom(...SIGNED),
        fc.array(fc.tuple(names, value), { maxLength: 6 }),
        body,
        (signed, headers, bytes) => {
          const verification = verify(signed.source, requestOf({ headers, body: Buffer.from(bytes) }), NOW_MS)
          assert(!(verification instanceof Promise))
          assert(
            verification.kind !== 'verified' &&
              (verification.kind !== 'rejected' || verification.code !== 'unreadable'),
          )
        },
      ),
      RUNS,
    )
  })
})

const ED25519 = generateKeyPairSync('ed25519')
const ECDSA = generateKeyPairSync('ec', { namedCurve: 'P-256' })

/** Senders with code or keys of their own: a genuine request each, and where its proof stands. */
const CODED = [
  {
    settings: {
      preset: 'discord',
      publicKeys: [
        Buffer.from(ED25519.publicKey.export({ format: 'jwk' }).x ?? '', 'base64url').toString('hex'),
      ],
    },
    header: 'X-Signature-Ed25519',
    proof: signWith(null, Buffer.from(`${NOW}{}`), ED25519.privateKey).toString('hex'),
    others: { 'X-Signature-Timestamp': String(NOW) },
    body: '{}',
  },
  {
    settings: {
      preset: 'sendgrid',
      publicKeys: [ECDSA.publicKey.export({ format: 'der', type: 'spki' }).toString('base64')],
    },
    header: 'X-Twilio-Email-Event-Webhook-Signature',
    proof: signWith('sha256', Buffer.from(`${NOW}[{}]`), ECDSA.privateKey).toString('base64'),
    others: { 'X-Twilio-Email-Event-Webhook-Timestamp': String(NOW) },
    body: '[{}]',
  },
  {
    settings: { preset: 'twilio', secrets: ['s'] },
    header: 'X-Twilio-Signature',
    proof: hmac('sha1', 's', `${URL}a1b2`, 'base64'),
    others: { 'Content-Type': FORM },
    body: 'b=2&a=1',
  },
  {
    settings: { preset: 'mandrill', secrets: ['s'] },
    header: 'X-Mandrill-Signature',
    proof: hmac('sha1', 's', `${URL}mandrill_events[{}]`, 'base64'),
    others: { 'Content-Type': FORM },
    body: 'mandrill_events=%5B%7B%7D%5D',
  },
  {
    settings: { preset: 'plivo', secrets: ['s'] },
    header: 'X-Plivo-Signature-V3',
    proof: hmac('sha256', 's', `${URL}?a1b2.n`, 'base64'),
    others: { 'Content-Type': FORM, 'X-Plivo-Signature-V3-Nonce': 'n' },
    body: 'b=2&a=1',
  },
  {
    settings: { preset: 'docusign', secrets: ['s'] },
    header: 'X-DocuSign-Signature-1',
    proof: hmac('sha256', 's', '{}', 'base64'),
    others: {},
    body: '{}',
  },
  {
    settings: { preset: 'box', secrets: ['s'] },
    header: 'BOX-SIGNATURE-PRIMARY',
    proof: hmac('sha256', 's', '{}2027-01-01T00:00:00Z', 'base64'),
    others: {
      'BOX-SIGNATURE-VERSION': '1',
      'BOX-SIGNATURE-ALGORITHM': 'HmacSHA256',
      'BOX-DELIVERY-TIMESTAMP': '2027-01-01T00:00:00Z',
    },
    body: '{}',
  },
  {
    settings: { preset: 'netlify', secrets: ['s'] },
    header: 'X-Webhook-Signature',
    proof: sharedToken(
      { iss: 'netlify', sha256: '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a' },
      's',
    ),
    others: {},
    body: '{}',
  },
].map(entry => ({ ...entry, source: sourceOf({ ...entry.settings, url: URL }) }))

describe('forgeries of senders with code of their own', () => {
  it('the genuine request is accepted', async () => {
    for (const { source, header, proof, others, body, settings } of CODED) {
      const verification = await verify(
        source,
        requestOf({ url: URL, headers: { ...others, [header]: proof }, body }),
        NOW_MS,
      )
      assert.equal(codeOf(verification), 'verified', settings.preset)
    }
  })

  it('V2: no mutation of the proof is accepted', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...CODED),
        mutation,
        ({ source, header, proof, others, body, settings }, change) => {
          const mutated = mutate(proof, change)
          // Plivo lists signatures with commas: an empty one more is a list still.
          if (mutated === proof || (settings.preset === 'plivo' && mutated.split(',').includes(proof))) return
          const verification = verify(
            source,
            requestOf({ url: URL, headers: { ...others, [header]: mutated }, body }),
            NOW_MS,
          )
          assert(!(verification instanceof Promise))
          assert.notEqual(codeOf(verification), 'verified', `${settings.preset}: ${mutated}`)
          assert.notEqual(codeOf(verification), 'unreadable')
        },
      ),
      RUNS,
    )
  })

  it('V7: no body makes a sender’s code throw', async () => {
    const sources = [
      ...CODED.map(({ source }) => source),
      sourceOf({ preset: 'adyen-payments', secrets: ['c0ffee'] }),
      sourceOf({ preset: 'mailgun', secrets: ['s'] }),
      sourceOf({ preset: 'msgraph', secrets: ['s'] }),
      sourceOf({ preset: 'braintree', secrets: ['s'], publicKey: 'p' }),
      sourceOf(
        { preset: 'sns', topicArns: ['t'] },
        { fetchText: () => Promise.reject(new Error('offline')) },
      ),
      sourceOf(
        { preset: 'paypal', webhookId: 'w' },
        { fetchText: () => Promise.reject(new Error('offline')) },
      ),
    ]
    const field = fc.constantFrom(
      'signature',
      'token',
      'timestamp',
      'notificationItems',
      'NotificationRequestItem',
      'additionalData',
      'hmacSignature',
      'value',
      'clientState',
      'Type',
      'Signature',
      'SigningCertURL',
    )
    const tree = fc.letrec(tie => ({
      value: fc.oneof(
        { maxDepth: 4 },
        fc.string(),
        fc.integer(),
        fc.constant(null),
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(field, tie('value'), { maxKeys: 4 }),
      ),
    })).value
    const body = fc.oneof(
      tree.map(value => JSON.stringify(value)),
      fc.string(),
      fc.webQueryParameters(),
    )
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...sources), body, async (source, text) => {
        const verification = await verify(
          source,
          requestOf({ headers: { 'Content-Type': FORM }, body: text }),
          NOW_MS,
        )
        assert.notEqual(verification.kind, 'verified')
        if (verification.kind === 'rejected') assert.notEqual(verification.code, 'unreadable')
      }),
      RUNS,
    )
  })
})
