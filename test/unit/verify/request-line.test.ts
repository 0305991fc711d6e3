/** Deliveries whose data stand in the request line: kept where they are signed, refused where not. V8: schemes/scheme.ts. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { EVENT_SCHEMA, encodeWire, WireReader } from '@sallyport/core/codec'
import type { Event } from '@sallyport/core/event'
import { accept } from '@sallyport/ingress/accept'
import { listPresets } from '@sallyport/ingress/schemes/presets'
import { testHandler } from '../../support/handler.ts'
import { send } from '../../support/ingress.ts'
import { settingsOf } from '../../support/preset-settings.ts'
import {
  codeOf,
  hmac,
  judge,
  NOW,
  NOW_MS,
  type RequestParts,
  sharedToken,
  sourceOf,
} from '../../support/signed-request.ts'

const URL_SIGNED = 'https://hooks.example.com/in'
const sha256 = (text: string, encoding: 'hex' | 'base64url' = 'hex') =>
  createHash('sha256').update(text).digest(encoding)

/** A request of each sender that signs its URL, `again` for another try of the same. */
type Sender = (method: string, query: string, body?: string, again?: number) => RequestParts

const at = (query: string) => URL_SIGNED + (query === '' ? '' : `?${query}`)
const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' }
/** The names and values of a form, sorted, as Twilio and Plivo sign them. */
const sorted = (text: string, between = '') =>
  [...new URLSearchParams(text)].sort(([a], [b]) => (a < b ? -1 : 1)).map(([a, b]) => a + between + b)

const SENDERS: Readonly<Record<string, Sender>> = {
  twilio: (method, query, body = '') => ({
    method,
    url: at(query),
    headers: {
      ...FORM,
      'X-Twilio-Signature': hmac('sha1', 's', at(query) + sorted(body).join(''), 'base64'),
    },
    body,
  }),
  plivo(method, query, body = '', again = 0) {
    const line = sorted(query, '=').join('&')
    const fields = sorted(body).join('')
    const url = line !== '' || fields !== '' ? `${URL_SIGNED}?${line}` : URL_SIGNED
    const text = url + (line !== '' && fields !== '' ? '.' : '') + fields
    return {
      method,
      url: at(query),
      headers: {
        ...FORM,
        'X-Plivo-Signature-V3-Nonce': `n${again}`,
        'X-Plivo-Signature-V3': hmac('sha256', 's', `${text}.n${again}`, 'base64'),
      },
      body,
    }
  },
  'hubspot-v2': (method, query, body = '') => ({
    method,
    url: at(query),
    headers: { 'X-HubSpot-Signature': sha256(`s${method}${at(query)}${body}`) },
    body,
  }),
  'hubspot-v3'(method, query, body = '', again = 0) {
    const time = String(NOW_MS + again)
    const text = `${method}${at(query)}${body}${time}`
    return {
      method,
      url: at(query),
      headers: {
        'X-HubSpot-Request-Timestamp': time,
        'X-HubSpot-Signature-v3': hmac('sha256', 's', text, 'base64'),
      },
      body,
    }
  },
  qstash(method, query, body = '', again = 0) {
    const claims = { iss: 'Upstash', sub: at(query), body: sha256(body, 'base64url'), jti: `j${again}` }
    const times = { iat: NOW, nbf: NOW, exp: NOW + 300 }
    const headers = { 'Upstash-Signature': sharedToken({ ...claims, ...times }, 's') }
    return { method, url: at(query), headers, body }
  },
  contentful(method, query, body = '', again = 0) {
    const names = 'x-contentful-signed-headers,x-contentful-timestamp'
    const time = String(NOW_MS + again)
    const path = `/in${query === '' ? '' : `?${encodeURI(encodeURIComponent(query))}`}`
    const text = `${method}\n${path}\nx-contentful-signed-headers:${names};x-contentful-timestamp:${time}\n${body}`
    return {
      method,
      url: at(query),
      headers: {
        'X-Contentful-Timestamp': time,
        'X-Contentful-Signed-Headers': names,
        'X-Contentful-Signature': hmac('sha256', 's', text),
      },
      body,
    }
  },
}
const SOURCES = Object.fromEntries(
  Object.keys(SENDERS).map(preset => [preset, sourceOf({ preset, secrets: ['s'] })]),
)

/** The event of a request that must be accepted, as a processor reads it from its record. */
async function eventOf(preset: string, parts: RequestParts): Promise<Event> {
  const verification = await judge(SOURCES[preset] ?? sourceOf(settingsOf(preset)), parts)
  assert(verification.kind === 'verified', `${preset}: ${codeOf(verification)}`)
  const reader = new WireReader<Event>(EVENT_SCHEMA)
  reader.learn(7, EVENT_SCHEMA)
  return reader.read(encodeWire(7, EVENT_SCHEMA.type, accept('test', verification.delivery, [], NOW_MS)))
}

describe('a delivery whose data stand in its URL', () => {
  const QUERY = 'CallSid=CA1&CallStatus=ringing&To=%2B49%201'

  for (const [preset, sender] of Object.entries(SENDERS)) {
    // HubSpot's ids stand in JSON.
    const sent = preset.startsWith('hubspot') ? '[{"eventId":1}]' : 'a=1'

    it(`is an event with method and query, of which nothing is lost: ${preset}`, async () => {
      const event = await eventOf(preset, sender('GET', QUERY))
      assert.deepEqual([event.method, event.query, event.body.length], ['GET', QUERY, 0])
      const post = await eventOf(preset, sender('POST', QUERY))
      assert.deepEqual([post.method, post.query], [null, QUERY])
      assert.equal((await eventOf(preset, sender('POST', '', sent))).query, null)
    })

    it(`is another event with another query, and the same one when it is sent again: ${preset}`, async () => {
      for (const [method, body] of [
        ['GET', ''],
        ['POST', sent],
      ] as const) {
        const first = await eventOf(preset, sender(method, QUERY, body))
        assert.equal((await eventOf(preset, sender(method, QUERY, body, 1))).id, first.id, method)
        const others = ['', 'CallSid=CA2', `${QUERY}&a=1`].map(query =>
          eventOf(preset, sender(method, query, body)),
        )
        const ids = (await Promise.all(others)).map(({ id }) => id)
        assert.equal(new Set([first.id, ...ids]).size, 4, `${method} ${ids.join()}`)
      }
    })

    it(`is refused with another query, another method where that is signed, or a body that it had not: ${preset}`, async () => {
      const genuine = sender('GET', QUERY)
      const source = SOURCES[preset]
      assert(source !== undefined)
      for (const forged of [
        { ...genuine, url: at(QUERY.replace('CA1', 'CA2')) },
        { ...genuine, url: at('') },
        { ...genuine, body: sent },
        { ...genuine, method: 'HEAD' },
        ...(source.verifier.requestLine.method ? [{ ...genuine, method: 'POST' }] : []),
      ]) {
        assert.notEqual(codeOf(await judge(source, forged)), 'verified')
      }
    })
  }

  it('has its type and id in the query where the sender’s form would have them', async () => {
    assert.equal((await eventOf('twilio', SENDERS.twilio?.('GET', QUERY) as RequestParts)).type, 'ringing')
    const plivo = await eventOf('plivo', SENDERS.plivo?.('GET', 'CallUUID=u1&Event=Hangup') as RequestParts)
    assert.deepEqual([plivo.senderId, plivo.type], ['u1', 'Hangup'])
  })

  it('has no type, id or field from a query that is not the signed one, where the source sets its URL', async () => {
    const genuine = SENDERS['hubspot-v3']?.('GET', 'a=1') as RequestParts
    const settings = {
      preset: 'hubspot-v3',
      secrets: ['s'],
      url: at('a=1'),
      type: 'form:a',
      required: ['form:a'],
    }
    for (const url of [at('a=1'), at('a=2'), URL_SIGNED]) {
      const verification = await judge(sourceOf(settings), { ...genuine, url })
      assert(verification.kind === 'verified', codeOf(verification))
      const { query, type } = verification.delivery.verdict
      assert.deepEqual([query, type], ['a=1', '1'])
    }
    const twilio = SENDERS.twilio?.('GET', QUERY) as RequestParts
    const own = sourceOf({ preset: 'twilio', secrets: ['s'], url: URL_SIGNED })
    const verification = await judge(own, { ...twilio, url: `http://10.0.0.1/webhooks/twilio?${QUERY}` })
    assert(verification.kind === 'verified', codeOf(verification))
    const { query, type } = verification.delivery.verdict
    assert.deepEqual([query, type], [QUERY, 'ringing'])
  })

  it('cannot have a part of its query moved into a body, to be lost there', async () => {
    const genuine = SENDERS.plivo?.('GET', 'a=1&b=2') as RequestParts
    const moved = { ...genuine, url: at('a=1'), body: 'b=2' }
    assert.equal(codeOf(await judge(SOURCES.plivo as never, moved)), 'malformed-body')
  })

  it('is refused where a part of the URL is not signed: Contentful’s library drops what follows a second ?', async () => {
    const genuine = SENDERS.contentful?.('GET', 'a=1') as RequestParts
    assert.equal(codeOf(await judge(SOURCES.contentful as never, genuine)), 'verified')
    const longer = { ...genuine, url: `${at('a=1')}?b=2` }
    assert.equal(codeOf(await judge(SOURCES.contentful as never, longer)), 'malformed-body')
  })

  it('keeps no query that nobody signed', async () => {
    const body = '{}'
    const headers = { 'X-Hub-Signature-256': `sha256=${hmac('sha256', 'c0ffeec0ffeec0ff', body)}` }
    const event = await eventOf('github', { url: at('a=1'), headers, body })
    assert.deepEqual([event.method, event.query], [null, null])
  })
})

describe('V8: a method that a source does not take', () => {
  it('is any but POST where the signature does not cover the URL, unless there is a body', () => {
    for (const { name, methods = ['POST'], probes = [] } of listPresets()) {
      const { deliveries, verifier } = sourceOf(settingsOf(name))
      assert.deepEqual([...deliveries], methods, name)
      for (const method of methods) {
        assert(
          method === 'POST' || verifier.requestLine.url || ['PUT', 'PATCH'].includes(method),
          `${name} ${method}`,
        )
        assert(method !== 'HEAD' && !probes.includes(method), `${name} ${method}`)
      }
    }
  })

  it('gets 405 with Allow and publishes nothing, of any preset', async () => {
    const names = listPresets().map(({ name }) => name)
    const handler = await testHandler(Object.fromEntries(names.map(name => [name, settingsOf(name)])))
    try {
      for (const { name, methods = ['POST'], probes = [] } of listPresets()) {
        for (const method of ['GET', 'PUT', 'PATCH', 'DELETE', 'HEAD']) {
          if (methods.includes(method)) continue
          const { status, headers } = await send(`${handler.url}/${name}?a=1`, { method })
          if (probes.includes(method)) {
            assert(
              method === 'HEAD' ? status === 200 : status === 401 || status === 403,
              `${name} ${method} ${status}`,
            )
          } else {
            assert.equal(status, 405, `${name} ${method}`)
            assert.equal(headers.allow, [...methods, ...probes].join(', '), name)
          }
        }
      }
      assert.deepEqual(handler.keys, [])
    } finally {
      handler.close()
    }
  })

  it('is GET and DELETE at Zendesk, and whatever has no body; PUT and PATCH with one are events', async () => {
    const source = sourceOf({ preset: 'zendesk', secrets: ['s'] })
    const time = new Date(NOW_MS).toISOString()
    const request = (method: string, body: string): RequestParts => ({
      method,
      url: at('ticket=7'),
      headers: {
        'X-Zendesk-Webhook-Signature-Timestamp': time,
        'X-Zendesk-Webhook-Signature': hmac('sha256', 's', time + body, 'base64'),
      },
      body,
    })
    for (const [method, body] of [
      ['GET', ''],
      ['DELETE', ''],
      ['DELETE', '{}'],
      ['PUT', ''],
      ['PATCH', ''],
    ] as const) {
      assert.equal(codeOf(await judge(source, request(method, body))), 'method-not-allowed', method)
    }
    for (const method of ['PUT', 'PATCH']) {
      const verification = await judge(source, request(method, '{}'))
      assert(verification.kind === 'verified')
      const event = accept('test', verification.delivery, [], NOW_MS)
      assert.deepEqual([event.method, event.query, String(event.body)], [method, null, '{}'])
    }
  })

  it('is GET at HubSpot v1, which signs neither method nor URL', async () => {
    const source = sourceOf({ preset: 'hubspot-v1', secrets: ['s'] })
    const headers = { 'X-HubSpot-Signature': sha256('s') }
    assert.equal(
      codeOf(await judge(source, { method: 'GET', url: at('a=1'), headers })),
      'method-not-allowed',
    )
  })

  it('is no event where only handshakes use it, even with a genuine signature of nothing', async () => {
    const source = sourceOf({ preset: 'intercom', secrets: ['s'] })
    const headers = { 'X-Hub-Signature': `sha1=${hmac('sha1', 's', '')}` }
    for (const [method, code] of [
      ['HEAD', 'head-probe'],
      ['GET', 'method-not-allowed'],
    ] as const) {
      assert.equal(codeOf(await judge(source, { method, url: at('a=1'), headers })), code)
    }
    const meta = sourceOf({ preset: 'meta', secrets: ['s'] })
    const signed = { 'X-Hub-Signature-256': `sha256=${hmac('sha256', 's', '')}` }
    assert.equal(
      codeOf(await judge(meta, { method: 'GET', url: at('a=1'), headers: signed })),
      'challenge-refused',
    )
  })
})
