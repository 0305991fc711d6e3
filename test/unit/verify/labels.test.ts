/** The sender's id and type: what is one, whose word it is, and that no two deliveries share one by accident. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { EVENT_SCHEMA } from '@sallyport/core/codec'
import { type Event, ID_BYTES_MAX } from '@sallyport/core/event'
import { accept } from '@sallyport/ingress/accept'
import { joinParts } from '@sallyport/ingress/schemes/location'
import { findPreset, listPresets } from '@sallyport/ingress/schemes/presets'
import type { SourceSettings } from '@sallyport/ingress/sources'
import fc from 'fast-check'
import {
  hmac,
  judge,
  NOW,
  NOW_MS,
  type RequestParts,
  sharedToken,
  sourceOf,
} from '../../support/signed-request.ts'

const SCHEME = { header: 'X-Sig', algorithm: 'hmac-sha256' } as const
const RUNS = { numRuns: 1_000 }

/** The event of a request that must verify. */
async function eventOf(
  settings: SourceSettings,
  parts: RequestParts,
  keep: readonly string[] = [],
): Promise<Event> {
  const verification = await judge(sourceOf(settings), parts)
  assert(verification.kind === 'verified', JSON.stringify(verification))
  return accept('test', verification.delivery, keep, NOW_MS)
}

/** The event of a body that a custom row signs. */
function eventOfBody(
  own: Partial<SourceSettings>,
  body: string,
  headers: Record<string, string> = {},
): Promise<Event> {
  const settings = { scheme: SCHEME, secrets: ['s'], ...own }
  return eventOf(settings, { body, headers: { 'X-Sig': hmac('sha256', 's', body), ...headers } })
}

describe('an id of several parts', () => {
  const id = [['$.a', '$.b']]

  it('is another one where its parts are others, whatever they hold', async () => {
    const one = await eventOfBody({ id }, '{"a":"1.2","b":"3"}')
    const other = await eventOfBody({ id }, '{"a":"1","b":"2.3"}')
    assert.notEqual(one.id, other.id)
    fc.assert(
      fc.property(partsOf(), partsOf(), (left, right) => {
        if (left.join('\0') !== right.join('\0')) assert.notEqual(joinParts(left), joinParts(right))
      }),
      { numRuns: 10_000 },
    )
  })

  it('is written as ever where no part holds a dot or a percent sign, and so is every id of one part', async () => {
    assert.equal((await eventOfBody({ id }, '{"a":"x-1","b":2}')).id, 'test/x-1.2')
    assert.equal((await eventOfBody({ id: '$.a' }, '{"a":"1.2%"}')).id, 'test/1.2%')
  })

  it('is never the one part of another place of the same source', async () => {
    const ways = ['$.whole', ['$.a', '$.b']]
    const whole = await eventOfBody({ id: ways }, '{"whole":"1.2"}')
    const parts = await eventOfBody({ id: ways }, '{"a":1,"b":2}')
    assert.notEqual(whole.id, parts.id)
  })

  it('that is too long gives its digest: a retry is the same event, another id another one, and no key is too long', async () => {
    const places = ['a', 'b', 'c', 'd', 'e']
    const settings = { id: [places.map(name => `$.${name}`)] }
    const body = (last: string, retry: number) =>
      JSON.stringify({ ...Object.fromEntries(places.map(name => [name, 'é'.repeat(250) + last])), retry })
    const [first, again, other] = [
      await eventOfBody(settings, body('1', 1)),
      await eventOfBody(settings, body('1', 2)),
      await eventOfBody(settings, body('2', 1)),
    ]
    for (const event of [first, again, other]) {
      assert(Buffer.byteLength(event.id) <= ID_BYTES_MAX)
      assert.deepEqual([event.identity, event.senderId], ['DIGEST', null])
    }
    assert.equal(first.id, again.id)
    assert.notEqual(first.id, other.id)
  })

  it('fits into a record key however long its parts and its source’s name are', async () => {
    const name = 's'.repeat(63)
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: 'grapheme', minLength: 150, maxLength: 260 }), {
          minLength: 1,
          maxLength: 6,
        }),
        async parts => {
          const settings = { scheme: SCHEME, secrets: ['s'], id: [parts.map((_, i) => `$[${i}]`)] }
          const body = JSON.stringify(parts)
          const verification = await judge(sourceOf(settings), {
            body,
            headers: { 'X-Sig': hmac('sha256', 's', body) },
          })
          assert(verification.kind === 'verified')
          assert(Buffer.byteLength(accept(name, verification.delivery, [], NOW_MS).id) <= ID_BYTES_MAX)
        },
      ),
      RUNS,
    )
  })
})

describe('text that is no id, no type and no header to keep', () => {
  it('lone surrogates are none: each body has an event of its own', async () => {
    const events = await Promise.all(
      ['\\ud800', '\\ud801', '\\udfff', 'a\\ud800', '\\ufffd'].map(text =>
        eventOfBody({ id: '$.id', type: '$.id' }, `{"id":"${text}"}`),
      ),
    )
    assert.equal(new Set(events.map(({ id }) => id)).size, events.length)
    assert.deepEqual(
      events.map(({ type, senderId }) => [type, senderId]),
      [...Array(4).fill(['webhook', null]), ['\ufffd', '\ufffd']],
    )
  })

  it('blank text of any kind is none', async () => {
    const events = await Promise.all(
      ['', ' ', '\\t', '\\u00a0', '\\u2028 ', '\\ufeff'].map(text =>
        eventOfBody({ id: '$.id', type: [['$.id', '$.id'], '$.id'] }, `{"id":"${text}"}`),
      ),
    )
    assert.equal(new Set(events.map(({ id }) => id)).size, events.length)
    for (const { type, senderId, identity } of events) {
      assert.deepEqual([type, senderId, identity], ['webhook', null, 'DIGEST'])
    }
  })

  it('is not passed over for the next place, which other events may share: the digest stands in', async () => {
    const own = { id: ['$.event', '$.account'] }
    const events = await Promise.all(
      ['"\\ud800"', '"\\ud801"', '""', '1.5', '{}', 'true'].map(value =>
        eventOfBody(own, `{"event":${value},"account":"a"}`),
      ),
    )
    assert.equal(new Set(events.map(({ id }) => id)).size, events.length)
    for (const { identity } of events) assert.equal(identity, 'DIGEST')
    assert.equal((await eventOfBody(own, '{"account":"a"}')).id, 'test/a')
    assert.equal((await eventOfBody(own, '{"event":null,"account":"a"}')).id, 'test/a')
  })

  it('a type of many parts that is too long is none', async () => {
    const type = [['$.a', '$.a'], '$.b']
    assert.equal((await eventOfBody({ type }, `{"a":"${'x'.repeat(200)}","b":"short"}`)).type, 'short')
  })

  it('a sender’s own code cannot tell one either', async () => {
    const adyen = async (pspReference: string) => {
      const item = {
        pspReference,
        merchantAccountCode: 'm',
        amount: { value: 1, currency: 'EUR' },
        eventCode: 'REFUND',
        success: 'true',
      }
      const text = [pspReference, '', 'm', '', 1, 'EUR', 'REFUND', 'true'].join(':')
      const additionalData = { hmacSignature: hmac('sha256', Buffer.from('c0ffee', 'hex'), text, 'base64') }
      const body = JSON.stringify({
        notificationItems: [{ NotificationRequestItem: { ...item, additionalData } }],
      })
      return await eventOf({ preset: 'adyen-payments', secrets: ['c0ffee'] }, { body })
    }
    assert.equal((await adyen('p1')).senderId, 'p1:REFUND')
    assert.equal((await adyen('\ud800')).senderId, null)
    assert.equal((await adyen('x'.repeat(300))).senderId, null)
  })

  it('kept headers that are blank or too long are left out, and so is such a content type', async () => {
    const headers = {
      'X-Blank': ' \u00a0',
      'X-Long': 'x'.repeat(8_193),
      'X-Fits': 'x'.repeat(8_192),
      'Content-Type': ' ',
    }
    const event = await eventOf(
      { scheme: SCHEME, secrets: ['s'] },
      { body: '', headers: { 'X-Sig': hmac('sha256', 's', ''), ...headers } },
      ['x-blank', 'x-long', 'x-fits', 'x-absent'],
    )
    assert.deepEqual(Object.keys(event.headers), ['x-fits'])
    assert.equal(event.contentType, null)
  })

  it('whatever a body holds, its event is text that every reader of Avro reads, and comes back unchanged', async () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 30 }),
      fc
        .array(fc.integer({ min: 0xd7f0, max: 0xe010 }), { maxLength: 30 })
        .map(units => String.fromCharCode(...units)),
      fc.integer(),
      fc.double(),
    )
    await fc.assert(
      fc.asyncProperty(text, text, async (a, b) => {
        const body = JSON.stringify({ a, b })
        const event = await eventOfBody({ id: [['$.a', '$.b'], '$.a'], type: ['$.b', ['$.a', '$.b']] }, body)
        for (const value of [event.id, event.type, event.senderId ?? '', event.contentType ?? '']) {
          assert(value.isWellFormed(), JSON.stringify(value))
        }
        assert.deepEqual({ ...EVENT_SCHEMA.type.fromBuffer(EVENT_SCHEMA.type.toBuffer(event)) }, event)
      }),
      RUNS,
    )
  })

  it('a time beyond the year 9999, which some readers have no date for, is none', async () => {
    const payload = (time: string) =>
      Buffer.from(`<notification><timestamp type="datetime">${time}</timestamp></notification>`).toString(
        'base64',
      )
    const key = createHash('sha1').update('s').digest()
    const sentAt = async (time: string) => {
      const fields = { bt_signature: `pub|${hmac('sha1', key, payload(time))}`, bt_payload: payload(time) }
      const settings = { preset: 'braintree', secrets: ['s'], publicKey: 'pub' }
      return (await eventOf(settings, { body: new URLSearchParams(fields).toString() })).sentAt
    }
    assert.equal(await sentAt('2027-01-01T00:00:00Z'), NOW_MS)
    assert.equal(await sentAt('9999-12-31T23:59:59-23:00'), null)
  })

  it('the time of a token is whole milliseconds, which Avro can carry, or none', async () => {
    const settings = { preset: 'monday', secrets: ['s'] }
    const sentAt = async (iat: unknown) => {
      const token = sharedToken({ iat, exp: NOW + 300 }, 's')
      return await judge(sourceOf(settings), { headers: { Authorization: token }, body: '{}' })
    }
    const fraction = await sentAt(NOW - 0.0001)
    assert(fraction.kind === 'verified')
    assert.equal(fraction.delivery.verdict.sentAt, NOW_MS - 1)
    assert.equal((await sentAt(1e300)).kind, 'rejected')
  })
})

describe('an id is the sender’s', () => {
  const svix = { preset: 'svix', secrets: ['whsec_c2VjcmV0'] }
  const proof = (family: 'svix' | 'webhook', id = 'm1') => ({
    [`${family}-id`]: id,
    [`${family}-timestamp`]: String(NOW),
    [`${family}-signature`]: `v1,${hmac('sha256', 'secret', `${id}.${NOW}.{}`, 'base64')}`,
  })

  it('only if this delivery’s signature covers that very value: not a header of the other family (V6)', async () => {
    for (const id of [
      undefined,
      'svix-id',
      'webhook-id',
      ['svix-id', 'webhook-id'],
      ['X-Id', 'svix-id'],
    ] as const) {
      const settings = { ...svix, ...(id === undefined ? {} : { id: id as string }) }
      const ids = new Set<string>()
      for (const [family, other] of [
        ['svix', 'webhook'],
        ['webhook', 'svix'],
      ] as const) {
        for (const added of [{}, { [`${other}-id`]: 'evil' }, { 'X-Id': 'evil' }]) {
          const headers: Record<string, string> = { ...added, ...proof(family) }
          ids.add((await eventOf(settings, { body: '{}', headers })).id)
        }
      }
      assert.equal(ids.size, 1, `${String(id)}: ${[...ids].join(' ')}`)
      assert.doesNotMatch([...ids].join(), /evil/)
    }
  })

  it('never where only the sender is proven: a token or a password vouches for no value', async () => {
    for (const { name, identity, scheme } of listPresets()) {
      if (scheme?.algorithm === 'token' || scheme?.algorithm === 'basic')
        assert.equal(identity, 'DIGEST', name)
    }
    assert.equal(findPreset('pubsub')?.identity, 'DIGEST')
  })
})

function partsOf() {
  return fc.array(fc.stringMatching(/^[.%2E5a]{1,4}$/), { minLength: 1, maxLength: 3 })
}
