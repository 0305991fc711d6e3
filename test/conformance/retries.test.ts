/** What senders change when they try again, and what tells their events apart: the event ids that come out. */
import assert from 'node:assert/strict'
import { accept } from '@sallyport/ingress/accept'
import { sign } from '@sallyport/ingress/schemes/sign'
import type { SourceSettings } from '@sallyport/ingress/sources'
import { hmac, judge, NOW_MS, sharedToken, sourceOf } from '../support/signed-request.ts'

interface Try {
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

/** The event id of a delivery, signed as the sender does. */
async function idOf(settings: SourceSettings, { body, headers = {} }: Try): Promise<string> {
  const signature = sign('test', settings, { body: Buffer.from(body), nowMs: NOW_MS, headers })
  const verification = await judge(sourceOf(settings), { headers: { ...headers, ...signature }, body })
  assert(verification.kind === 'verified')
  return accept('test', verification.delivery, [], NOW_MS).id
}

const secrets = ['s']

/** By preset: a first try and a later one of the same event, then another event that looks like it. */
const SENDERS: Readonly<Record<string, readonly [first: Try, again: Try, other: Try]>> = {
  'coinbase-commerce': [
    { body: '{"id":"a1","attempt_number":1,"event":{"id":"e1"}}' },
    { body: '{"id":"a2","attempt_number":2,"event":{"id":"e1"}}' },
    { body: '{"id":"a1","attempt_number":1,"event":{"id":"e2"}}' },
  ],
  gitlab: [
    { body: '{"n":1}', headers: { 'Idempotency-Key': 'k1', 'X-Gitlab-Event-UUID': 'u1' } },
    { body: '{"n":1}', headers: { 'Idempotency-Key': 'k1', 'X-Gitlab-Event-UUID': 'u1' } },
    { body: '{"n":2}', headers: { 'Idempotency-Key': 'k1', 'X-Gitlab-Event-UUID': 'u1' } },
  ],
  heroku: [
    { body: '{"id":"h1","webhook_metadata":{"attempt":{"id":"t1"}}}' },
    { body: '{"id":"h1","webhook_metadata":{"attempt":{"id":"t2"}}}' },
    { body: '{"id":"h2","webhook_metadata":{"attempt":{"id":"t1"}}}' },
  ],
  'hubspot-v1': [
    { body: '[{"eventId":100,"objectId":1,"attemptNumber":0}]' },
    { body: '[{"eventId":100,"objectId":1,"attemptNumber":1}]' },
    { body: '[{"eventId":100,"objectId":2,"attemptNumber":0}]' },
  ],
  intercom: [
    { body: '{"id":"notif_1","delivery_attempts":1}' },
    { body: '{"id":"notif_1","delivery_attempts":2}' },
    { body: '{"id":"notif_2","delivery_attempts":1}' },
  ],
  line: [
    { body: '{"events":[{"webhookEventId":"w1","deliveryContext":{"isRedelivery":false}}]}' },
    { body: '{"events":[{"webhookEventId":"w1","deliveryContext":{"isRedelivery":true}}]}' },
    { body: '{"events":[{"webhookEventId":"w2","deliveryContext":{"isRedelivery":false}}]}' },
  ],
  notion: [
    { body: '{"id":"n1","attempt_number":1}' },
    { body: '{"id":"n1","attempt_number":2}' },
    { body: '{"id":"n2","attempt_number":1}' },
  ],
  shopify: [
    { body: '{"id":1}', headers: { 'X-Shopify-Webhook-Id': 'd1', 'X-Shopify-Event-Id': 'e1' } },
    { body: '{"id":1}', headers: { 'X-Shopify-Webhook-Id': 'd1', 'X-Shopify-Event-Id': 'e1' } },
    { body: '{"id":2}', headers: { 'X-Shopify-Webhook-Id': 'd2', 'X-Shopify-Event-Id': 'e1' } },
  ],
  twitch: [
    {
      body: '{"event":{}}',
      headers: { 'Twitch-Eventsub-Message-Id': 'm1', 'Twitch-Eventsub-Message-Retry': '0' },
    },
    {
      body: '{"event":{}}',
      headers: { 'Twitch-Eventsub-Message-Id': 'm1', 'Twitch-Eventsub-Message-Retry': '1' },
    },
    { body: '{"event":{}}', headers: { 'Twitch-Eventsub-Message-Id': 'm2' } },
  ],
  woocommerce: [
    { body: '{"id":1}', headers: { 'X-WC-Webhook-Delivery-ID': 'same second' } },
    { body: '{"id":1}', headers: { 'X-WC-Webhook-Delivery-ID': 'another second' } },
    { body: '{"id":2}', headers: { 'X-WC-Webhook-Delivery-ID': 'same second' } },
  ],
}

describe('tries of one event', () => {
  for (const [preset, [first, again, other]] of Object.entries(SENDERS)) {
    it(`${preset}: a later try is the same event, and another event is not`, async () => {
      const id = await idOf({ preset, secrets }, first)
      assert.equal(await idOf({ preset, secrets }, again), id)
      assert.notEqual(await idOf({ preset, secrets }, other), id)
    })
  }

  it('box: BOX-DELIVERY-ID and the time change with every try, the body’s id does not', async () => {
    const ids = await Promise.all(
      ['1', '2'].map(async n => {
        const body = '{"id":"b1","trigger":"FILE.UPLOADED"}'
        const time = `2026-12-31T23:59:5${n}Z`
        const headers = {
          'BOX-SIGNATURE-VERSION': '1',
          'BOX-SIGNATURE-ALGORITHM': 'HmacSHA256',
          'BOX-DELIVERY-ID': `d${n}`,
          'BOX-DELIVERY-TIMESTAMP': time,
          'BOX-SIGNATURE-PRIMARY': hmac('sha256', 's', body + time, 'base64'),
        }
        const verification = await judge(sourceOf({ preset: 'box', secrets }), { headers, body })
        assert(verification.kind === 'verified')
        return accept('test', verification.delivery, [], NOW_MS).id
      }),
    )
    assert.deepEqual(ids, ['test/b1', 'test/b1'])
  })

  it('monday.com: a token of its own for each try, and one body', async () => {
    const ids = await Promise.all(
      [1, 2].map(async n => {
        const claims = { iat: NOW_MS / 1000, exp: NOW_MS / 1000 + 60 + n }
        const verification = await judge(sourceOf({ preset: 'monday', secrets }), {
          headers: { Authorization: sharedToken(claims, 's') },
          body: '{"event":{"triggerUuid":"t1"}}',
        })
        assert(verification.kind === 'verified')
        return accept('test', verification.delivery, [], NOW_MS).id
      }),
    )
    assert.equal(ids[0], ids[1])
  })
})
