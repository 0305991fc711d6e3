/** Schemes that sign the URL, and those that join texts without a mark: what a captured signature can be bent to. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { loadSettings } from '@sallyport/core/settings'
import { accept } from '@sallyport/ingress/accept'
import { openDoors } from '@sallyport/ingress/config'
import { listPresets } from '@sallyport/ingress/schemes/presets'
import type { SourceSettings } from '@sallyport/ingress/sources'
import { verify } from '@sallyport/ingress/verify'
import { stringify } from 'yaml'
import { CODED_SENDERS } from '../../support/coded-senders.ts'
import { type TestHandler, testHandler } from '../../support/handler.ts'
import { extend, paddingOf } from '../../support/hash-extension.ts'
import { send } from '../../support/ingress.ts'
import {
  codeOf,
  hmac,
  judge,
  NOW,
  NOW_MS,
  type RequestParts,
  requestOf,
  sourceOf,
} from '../../support/signed-request.ts'

const URL_SET = 'https://hooks.example.com/in'
const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' }
/** Presets of which a signature covers the whole URL, and the one that signs path and query. */
const WHOLE = [
  'hubspot-v2',
  'hubspot-v3',
  'mandrill',
  'messagebird',
  'plivo',
  'qstash',
  'square',
  'trello',
  'twilio',
]
const PATH = ['contentful']

/** The event id of a request, or the code that refuses it. */
async function outcome(settings: SourceSettings, parts: RequestParts): Promise<string> {
  const verification = await judge(sourceOf(settings), parts)
  return verification.kind === 'verified'
    ? accept('test', verification.delivery, [], NOW_MS).id
    : codeOf(verification)
}

describe('deliveries', () => {
  let handler: TestHandler

  afterEach(() => handler.close())

  it('are 400 with a Host that is no host, before any source is looked up', async () => {
    handler = await testHandler({ github: { preset: 'github', secrets: ['s'] } })
    for (const host of ['a b', 'a/b', 'a?b', '{"id":1}', 'a@b', '"', '::1', 'a:99999', 'é']) {
      for (const name of ['github', 'nobody']) {
        const answer = await send(`${handler.url}/${name}`, { body: '{}', headers: { Host: host } })
        assert.deepEqual([answer.status, answer.json.code], [400, 'malformed-request'], host)
      }
    }
    const signature = `sha256=${hmac('sha256', 's', '{}')}`
    for (const host of ['hooks.example.com', '192.0.2.1:8480', '[::1]:1', 'my_host']) {
      const headers = { Host: host, 'X-Hub-Signature-256': signature }
      assert.equal((await send(`${handler.url}/github`, { body: '{}', headers })).status, 200, host)
    }
  })

  it('are 400 with an X-Forwarded-Host of a trusted proxy that is no host', async () => {
    handler = await testHandler(
      { github: { preset: 'github', secrets: ['s'] } },
      { ingress: "trustedProxies: ['127.0.0.1']" },
    )
    for (const host of ['a, b', 'x/y', '']) {
      const answer = await send(`${handler.url}/github`, {
        body: '{}',
        headers: { 'X-Forwarded-Host': host },
      })
      assert.deepEqual([answer.status, answer.json.code], [400, 'malformed-request'], host)
    }
  })

  it('that were captured make no new event by a Host that takes up a piece of the body (Trello, Square)', async () => {
    const [trello, square] = [
      { preset: 'trello', secrets: ['s'] },
      { preset: 'square', secrets: ['s'] },
    ]
    handler = await testHandler({ trello, square })
    const { port } = new URL(handler.url)
    const host = `127.0.0.1:${port}`
    const post = (name: string, body: string, header: string, proof: string, headers = {}) =>
      send(`${handler.url}/${name}`, { body, headers: { Host: host, [header]: proof, ...headers } })
    const text = '{"action":{"id":"a1","url":"http://x/y"}}'
    const proof = hmac('sha1', 's', `${text}${handler.url}/trello`, 'base64')
    assert.equal((await post('trello', text, 'X-Trello-Webhook', proof)).status, 200)
    const shifted = await post('trello', text.slice(0, text.indexOf('http')), 'X-Trello-Webhook', proof, {
      Host: `x/y"}}http://${host}`,
    })
    assert.equal(shifted.status, 400)
    assert.deepEqual(handler.keys, ['trello/a1'])
    const order = '{"event_id":"e1"}'
    const paid = hmac('sha256', 's', `${handler.url}/square?v=1${order}`, 'base64')
    assert.equal((await post('square?v=1', order, 'x-square-hmacsha256-signature', paid)).status, 200)
    for (const taken of [1, 8, order.length]) {
      const query = `square?v=1${order.slice(0, taken)}`
      const answer = await post(query, order.slice(taken), 'x-square-hmacsha256-signature', paid)
      assert.notEqual(answer.status, 200, query)
    }
    assert.deepEqual(handler.keys, ['trello/a1', 'square/e1'])
  })
})

describe('sources', () => {
  function opened(
    preset: Readonly<Record<string, unknown>>,
    ingress: Readonly<Record<string, unknown>>,
  ): string {
    const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-url-'))
    try {
      const file = path.join(folder, 'sallyport.yaml')
      writeFileSync(file, stringify({ ingress, sources: { test: preset }, window: '30d' }))
      openDoors(loadSettings(file, {}), { S: 'c0ffeec0ffeec0ff' }, Date.now)
      return 'opened'
    } catch (error) {
      return (error as Error).message
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }
  const own = (signed: string) => ({
    scheme: { header: 'X-Sig', algorithm: 'hmac-sha256', signed },
    secrets: ['${env:S}'],
  })

  it('do not open beyond loopback without url or publicUrl, whichever preset or row signs the URL', () => {
    const entries = [
      ...WHOLE.map(preset => ({ preset, secrets: ['${env:S}'] })),
      own('{url}{body}'),
      own('{body}\n{url}'),
    ]
    for (const entry of entries) {
      for (const host of ['0.0.0.0', '192.0.2.1', '::']) {
        assert.match(opened(entry, { host }), /sources\.test\.url is required/, JSON.stringify(entry))
        assert.equal(opened({ ...entry, url: URL_SET }, { host }), 'opened')
        assert.equal(opened(entry, { host, publicUrl: 'https://hooks.example.com' }), 'opened')
      }
      for (const host of ['127.0.0.1', '::1', 'localhost']) assert.equal(opened(entry, { host }), 'opened')
    }
    for (const entry of [
      own('{body}'),
      { preset: 'stripe', secrets: ['${env:S}'] },
      { preset: 'contentful', secrets: ['${env:S}'] },
    ]) {
      assert.equal(opened(entry, { host: '0.0.0.0' }), 'opened')
    }
  })

  it('take url only where the sender signs it', () => {
    const needed: Readonly<Record<string, object>> = Object.fromEntries(
      CODED_SENDERS.map(({ name, settings }) => [name, settings]),
    )
    for (const { name, needs, scheme } of listPresets()) {
      const keys = needs === undefined ? { secrets: ['c0ffeec0ffeec0ff'] } : {}
      const username = scheme?.algorithm === 'basic' ? { username: 'u' } : {}
      const settings = { preset: name, ...keys, ...username, ...needed[name], url: URL_SET } as SourceSettings
      if (WHOLE.includes(name) || PATH.includes(name)) assert.equal(sourceOf(settings).url, URL_SET)
      else
        assert.throws(
          () => sourceOf(settings),
          /sources\.test\.url is only for senders that sign the URL/,
          name,
        )
    }
    for (const signed of ['{body}', '{body}.{header:X-A}']) {
      const scheme = { header: 'X-Sig', algorithm: 'hmac-sha256', signed } as const
      assert.throws(() => sourceOf({ scheme, secrets: ['s'], url: URL_SET }), /url is only for senders/)
    }
  })

  it('read tokens and questions from the request that came, whatever their url says', async () => {
    const asked = async (settings: SourceSettings, parts: RequestParts, url: string) =>
      await verify({ ...sourceOf(settings), url }, requestOf(parts), NOW_MS)
    const outbound = {
      preset: 'salesforce-outbound',
      secrets: ['token-42'],
      organizationIds: ['00D000000000001'],
    }
    const soap = '<OrganizationId>00D000000000001</OrganizationId>'
    const forged = await asked(outbound, { url: URL_SET, body: soap }, `${URL_SET}?token=token-42`)
    assert.equal(codeOf(forged), 'missing-signature')
    const wrong = await asked(
      outbound,
      { url: `${URL_SET}?token=x`, body: soap },
      `${URL_SET}?token=token-42`,
    )
    assert.equal(codeOf(wrong), 'wrong-token')
    const meta = { preset: 'meta', secrets: ['s'], verifyToken: 'v' }
    const query = '?hub.mode=subscribe&hub.verify_token=v&hub.challenge=77'
    assert.equal(codeOf(await asked(meta, { method: 'GET', url: URL_SET + query }, URL_SET)), 'meta-verify')
    assert.equal(
      codeOf(await asked(meta, { method: 'GET', url: URL_SET }, URL_SET + query)),
      'challenge-refused',
    )
    const graph = { preset: 'msgraph', secrets: ['s'] }
    const validation = { url: `${URL_SET}?validationToken=abc` }
    assert.equal(codeOf(await asked(graph, validation, URL_SET)), 'graph-validation')
  })
})

describe('senders that add a query to the URL that is registered', () => {
  const registered = 'https://hooks.example.com/twilio?tenant=7'
  const behind = 'http://10.0.0.7:8480/in'

  it('Twilio: JSON with bodySHA256 is accepted where url is set, and another body is not', async () => {
    const settings = { preset: 'twilio', secrets: ['s'], url: registered }
    const body = '{"a":1}'
    const query = `tenant=7&bodySHA256=${createHash('sha256').update(body).digest('hex')}`
    const proof = hmac('sha1', 's', `https://hooks.example.com/twilio?${query}`, 'base64')
    const headers = { 'Content-Type': 'application/json', 'X-Twilio-Signature': proof }
    const parts = { url: `${behind}?${query}`, headers }
    assert.match(await outcome(settings, { ...parts, body }), /^test\/[0-9a-f]{64}$/)
    assert.equal(await outcome(settings, { ...parts, body: '{"a":2}' }), 'body-not-bound')
    assert.equal(await outcome(settings, { ...parts, url: behind, body }), 'body-not-bound')
    assert.equal(
      await outcome(settings, { ...parts, url: `${behind}?x=1&${query}`, body }),
      'wrong-signature',
    )
  })

  it('Twilio: a captured call takes no further field and no body, however its query is written', async () => {
    const url = 'https://hooks.example.com/in'
    const settings = { preset: 'twilio', secrets: ['s'], url }
    const body = '{"a":1}'
    const hash = `bodySHA256=${createHash('sha256').update(body).digest('hex')}`
    for (const query of ['CallSid=C1&From=7', 'CallSid=C1&Said=100%25']) {
      const headers = { 'X-Twilio-Signature': hmac('sha1', 's', `${url}?${query}`, 'base64') }
      const call = (written: string, text = '') => {
        const method = text === '' ? 'GET' : 'POST'
        return outcome(settings, { method, url: `${behind}?${written}`, headers, body: text })
      }
      assert.match(await call(query), /^test\//)
      for (const pairs of [0, 510, 998, 999, 1_000, 2_000]) {
        for (const padding of ['&', 'x&']) {
          const more = `&${padding.repeat(pairs)}`.slice(0, 3_000)
          for (const field of ['Said=yes', hash]) {
            const written = `${query}${more}&${field}`
            const codes = [await call(written), await call(written, body)]
            for (const code of codes) assert.match(code, /^(wrong-signature|body-not-bound)$/, written)
          }
        }
      }
    }
    const json = { 'X-Twilio-Signature': hmac('sha1', 's', `${url}?${hash}&Said=100%25`, 'base64') }
    const bare = { method: 'POST', url: `${behind}?${hash}&Said=100%`, headers: json }
    assert.match(await outcome(settings, { ...bare, url: `${bare.url}25`, body }), /^test\//)
    // Its query cannot be read, and so not the hash in it.
    assert.equal(await outcome(settings, bare), 'wrong-signature')
  })

  it('Twilio and Plivo: a GET, whose data are the query, is accepted where url is set', async () => {
    const url = 'https://hooks.example.com/in'
    const call = { method: 'GET', url: `${behind}?CallSid=C1&From=7` }
    const twilio = { 'X-Twilio-Signature': hmac('sha1', 's', `${url}?CallSid=C1&From=7`, 'base64') }
    assert.match(
      await outcome({ preset: 'twilio', secrets: ['s'], url }, { ...call, headers: twilio }),
      /^test\//,
    )
    const plivo = {
      'X-Plivo-Signature-V3': hmac('sha256', 's', `${url}?CallSid=C1&From=7.n1`, 'base64'),
      'X-Plivo-Signature-V3-Nonce': 'n1',
    }
    assert.match(
      await outcome({ preset: 'plivo', secrets: ['s'], url }, { ...call, headers: plivo }),
      /^test\//,
    )
  })

  it('a form is accepted where url is set, without a query that came', async () => {
    const headers = { ...FORM, 'X-Twilio-Signature': hmac('sha1', 's', `${registered}a1`, 'base64') }
    const settings = { preset: 'twilio', secrets: ['s'], url: registered }
    assert.match(await outcome(settings, { url: behind, headers, body: 'a=1' }), /^test\//)
  })
})

describe('a captured signature of joined texts', () => {
  it('of a plain hash cannot be lengthened: a body that is no JSON is refused, and so is one with a NUL', async () => {
    const scheme = { header: 'X-Sig', algorithm: 'sha256' } as const
    const cases: readonly (readonly [SourceSettings, string, string])[] = [
      [{ preset: 'hubspot-v1', secrets: ['secret'] }, 'X-HubSpot-Signature', 'secret'],
      [
        { preset: 'hubspot-v2', secrets: ['secret'], url: URL_SET },
        'X-HubSpot-Signature',
        `secretPOST${URL_SET}`,
      ],
      [{ scheme, secrets: ['secret'], id: '$.id' }, 'X-Sig', 'secret'],
      [{ scheme, secrets: ['secret'] }, 'X-Sig', 'secret'],
    ]
    const body = '[{"eventId":1}]'
    for (const [settings, header, before] of cases) {
      const digest = createHash('sha256')
        .update(before + body)
        .digest('hex')
      const genuine = await outcome(settings, { url: URL_SET, headers: { [header]: digest }, body })
      assert.match(genuine, /^test\//)
      const known = Buffer.byteLength(before + body)
      const longer = Buffer.concat([Buffer.from(body), paddingOf(known), Buffer.from('[{"eventId":2}]')])
      const forged = extend(digest, known + paddingOf(known).length, Buffer.from('[{"eventId":2}]'))
      assert.equal(
        forged,
        createHash('sha256').update(before).update(longer).digest('hex'),
        'the attack itself works',
      )
      const refusal = await outcome(settings, { url: URL_SET, headers: { [header]: forged }, body: longer })
      assert.match(refusal, /^(not-json|malformed-body)$/)
    }
  })

  it('Plivo: no piece of the fields can become the nonce', async () => {
    const settings = { preset: 'plivo', secrets: ['s'], url: URL_SET }
    const proof = hmac('sha256', 's', `${URL_SET}?a1.b2.n`, 'base64')
    const event = (body: string, nonce: string) =>
      outcome(settings, {
        headers: { ...FORM, 'X-Plivo-Signature-V3': proof, 'X-Plivo-Signature-V3-Nonce': nonce },
        body,
      })
    assert.match(await event('a=1.b2', 'n'), /^test\//)
    assert.equal(await event('a=1', 'b2.n'), 'ambiguous-text')
  })

  it('Contentful: no signed header can take up its neighbour, and no second question mark hides a query', async () => {
    const listed = 'x-a,x-contentful-signed-headers,x-contentful-timestamp'
    const headers = { 'X-Contentful-Timestamp': String(NOW_MS), 'X-Contentful-Signed-Headers': listed }
    const text = (value: string) =>
      `POST\n/in\nx-a:${value};x-contentful-signed-headers:${listed};x-contentful-timestamp:${NOW_MS}\n{}`
    const event = (value: string, url = URL_SET) =>
      outcome(
        { preset: 'contentful', secrets: ['s'] },
        {
          url,
          headers: { ...headers, 'X-A': value, 'X-Contentful-Signature': hmac('sha256', 's', text(value)) },
          body: '{}',
        },
      )
    assert.match(await event('text/plain; charset=utf-8'), /^test\//)
    assert.equal(await event('1;x-b:2'), 'ambiguous-text')
    assert.equal(await event('1', `${URL_SET}?a?b`), 'malformed-body')
  })

  it('Contentful: a blank idempotency key is no id that many deliveries share', async () => {
    const listed = 'x-contentful-idempotency-key,x-contentful-signed-headers,x-contentful-timestamp'
    const event = (body: string) => {
      const text = `POST\n/in\nx-contentful-idempotency-key:;x-contentful-signed-headers:${listed};x-contentful-timestamp:${NOW_MS}\n${body}`
      const headers = {
        'X-Contentful-Timestamp': String(NOW_MS),
        'X-Contentful-Signed-Headers': listed,
        'X-Contentful-Idempotency-Key': '',
        'X-Contentful-Signature': hmac('sha256', 's', text),
      }
      return outcome({ preset: 'contentful', secrets: ['s'] }, { headers, body })
    }
    const ids = [await event('{"a":1}'), await event('{"a":2}')]
    assert.match(ids.join(' '), /^test\/\w+ test\/\w+$/)
    assert.notEqual(ids[0], ids[1])
  })

  it('Adyen: the items of a batch in another order, or one of them twice, are no other event', async () => {
    const item = (pspReference: string) => {
      const text = [pspReference, '', 'm', '', 1, 'EUR', 'REFUND', 'true'].join(':')
      const hmacSignature = hmac('sha256', Buffer.from('c0ffee', 'hex'), text, 'base64')
      const signed = { pspReference, merchantAccountCode: 'm', amount: { value: 1, currency: 'EUR' } }
      const rest = { eventCode: 'REFUND', success: 'true', additionalData: { hmacSignature } }
      return { NotificationRequestItem: { ...signed, ...rest } }
    }
    const event = (...names: string[]) =>
      outcome(
        { preset: 'adyen-payments', secrets: ['c0ffee'] },
        { body: JSON.stringify({ notificationItems: names.map(item) }) },
      )
    assert.equal(await event('a', 'b'), await event('b', 'a'))
    assert.equal(await event('a', 'b'), await event('b', 'a', 'b'))
    assert.equal(await event('a'), await event('a', 'a'))
    assert.notEqual(await event('a'), await event('b'))
  })

  it('Mandrill: a field that comes twice, of which one value is not signed, is refused', async () => {
    const headers = {
      ...FORM,
      'X-Mandrill-Signature': hmac('sha1', 's', `${URL_SET}mandrill_events[{}]`, 'base64'),
    }
    const event = (body: string) => outcome({ preset: 'mandrill', secrets: ['s'] }, { headers, body })
    assert.match(await event('mandrill_events=%5B%7B%7D%5D'), /^test\//)
    assert.equal(await event('mandrill_events=evil&mandrill_events=%5B%7B%7D%5D'), 'malformed-body')
  })

  it('Box: both writings of one body are one event, with an id and without', async () => {
    const time = '2027-01-01T00:00:00Z'
    const [plain, escaped] = ['{"name":"é/"}', '{"name":"\\u00e9\\/"}']
    const headers = {
      'BOX-SIGNATURE-VERSION': '1',
      'BOX-SIGNATURE-ALGORITHM': 'HmacSHA256',
      'BOX-DELIVERY-TIMESTAMP': time,
      'BOX-SIGNATURE-PRIMARY': hmac('sha256', 's', escaped + time, 'base64'),
    }
    const [one, other] = await Promise.all(
      [plain, escaped].map(body => outcome({ preset: 'box', secrets: ['s'] }, { headers, body })),
    )
    assert.match(String(one), /^test\//)
    assert.equal(one, other)
  })

  it('of a time next to the body: no digit can change sides, even where times are taken without a bound', async () => {
    const scheme = { header: 'X-Sig', algorithm: 'hmac-sha256', signed: '{timestamp}{body}' } as const
    const timestamp = { header: 'X-Time', unit: 's', tolerance: 'unbounded' } as const
    const proof = hmac('sha256', 's', `${NOW}{}`)
    const event = (time: string, body: string) =>
      outcome({ scheme, secrets: ['s'], timestamp }, { headers: { 'X-Sig': proof, 'X-Time': time }, body })
    assert.match(await event(String(NOW), '{}'), /^test\//)
    assert.equal(await event(String(NOW).slice(0, 9), `${String(NOW).slice(9)}{}`), 'malformed-timestamp')
  })
})

describe('a body that is no JSON', () => {
  it('is refused where a source reads its id or type from JSON', async () => {
    const scheme = { header: 'X-Sig', algorithm: 'hmac-sha256' } as const
    const event = (own: object, body: string, more = {}) =>
      outcome(
        { scheme, secrets: ['s'], ...own },
        { body, headers: { 'X-Sig': hmac('sha256', 's', body), ...more } },
      )
    for (const own of [{ id: '$.id' }, { type: '$.type' }, { id: [['X-Id', '$.id']] }]) {
      for (const body of ['x', 'a=1', '{"id":', '\u0000'])
        assert.equal(await event(own, body), 'not-json', body)
      for (const body of ['{"other":1}', '[]', '']) assert.match(await event(own, body), /^test\//, body)
    }
    for (const own of [{}, { id: 'X-Id' }, { id: ['$.id', 'form:id'] }])
      assert.match(await event(own, 'id=1'), /^test\//)
    const github = { preset: 'github', secrets: ['s'], id: '$.id' }
    const headers = { 'X-Hub-Signature-256': `sha256=${hmac('sha256', 's', 'x')}` }
    assert.equal(await outcome(github, { headers, body: 'x' }), 'not-json')
  })

  it('is refused by presets whose ids are in JSON and whose texts have no mark beside the body', async () => {
    for (const [preset, header, proof] of [
      ['square', 'x-square-hmacsha256-signature', hmac('sha256', 's', `${URL_SET}x`, 'base64')],
      ['trello', 'X-Trello-Webhook', hmac('sha1', 's', `x${URL_SET}`, 'base64')],
      ['hubspot-v1', 'X-HubSpot-Signature', createHash('sha256').update('sx').digest('hex')],
    ] as const) {
      assert.equal(
        await outcome({ preset, secrets: ['s'] }, { headers: { [header]: proof }, body: 'x' }),
        'not-json',
        preset,
      )
    }
  })
})
