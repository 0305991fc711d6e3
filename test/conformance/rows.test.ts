/**
 * Every preset that is a row: a delivery written down from the sender's documentation, signed here without the
 * product's code, is accepted with the right id and type; altered, under another secret, twice or late it is not.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { listPresets } from '@sallyport/ingress/schemes/presets'
import { codeOf, hmac, judge, NOW, NOW_MS, sourceOf } from '../support/signed-request.ts'

interface Row {
  readonly preset: string
  readonly body: string
  /** The headers, given what signs. */
  readonly headers: (
    sign: (hash: string, text: string, encoding?: 'hex' | 'base64' | 'base64url') => string,
  ) => Record<string, string>
  readonly signature: string
  readonly id?: string | null
  readonly type?: string | null
  /** Key bytes of the secret, where they are not its text. */
  readonly key?: Buffer
  readonly secret?: string
  readonly url?: string
  /** Seconds after which the same request is too old; absent where no time is signed. */
  readonly tolerance?: number
}

const ISO = '2027-01-01T00:00:00Z'
const MS = String(NOW_MS)

const ROWS: readonly Row[] = [
  {
    preset: 'shopify-events',
    body: '{"id":1}',
    signature: 'Shopify-Hmac-Sha256',
    headers: sign => ({
      'Shopify-Hmac-Sha256': sign('sha256', '{"id":1}', 'base64'),
      'Shopify-Webhook-Id': 'w1',
      'Shopify-Topic': 'orders/create',
    }),
    id: 'w1',
    type: 'orders/create',
  },
  {
    preset: 'bitbucket',
    body: '{"push":1}',
    signature: 'X-Hub-Signature',
    headers: sign => ({
      'X-Hub-Signature': `sha256=${sign('sha256', '{"push":1}')}`,
      'X-Request-UUID': 'u1',
      'X-Event-Key': 'repo:push',
    }),
    id: 'u1',
    type: 'repo:push',
  },
  {
    preset: 'sentry',
    body: '{"action":"created"}',
    signature: 'Sentry-Hook-Signature',
    headers: sign => ({
      'Sentry-Hook-Signature': sign('sha256', '{"action":"created"}'),
      'Request-ID': 'r1',
      'Sentry-Hook-Resource': 'issue',
    }),
    id: 'r1',
    type: 'issue',
  },
  {
    preset: 'sentry-ui',
    body: '{}',
    signature: 'Sentry-App-Signature',
    headers: sign => ({ 'Sentry-App-Signature': sign('sha256', '{}') }),
    id: null,
  },
  {
    preset: 'jira',
    body: '{"webhookEvent":"jira:issue_created"}',
    signature: 'X-Hub-Signature',
    headers: sign => ({
      'X-Hub-Signature': `sha256=${sign('sha256', '{"webhookEvent":"jira:issue_created"}')}`,
      'X-Atlassian-Webhook-Identifier': 'j1',
    }),
    id: 'j1',
    type: 'jira:issue_created',
  },
  {
    preset: 'razorpay',
    body: '{"event":"payment.captured"}',
    signature: 'X-Razorpay-Signature',
    headers: sign => ({
      'X-Razorpay-Signature': sign('sha256', '{"event":"payment.captured"}'),
      'x-razorpay-event-id': 'e1',
    }),
    id: 'e1',
    type: 'payment.captured',
  },
  {
    preset: 'notion',
    body: '{"id":"n1","type":"page.created","attempt_number":1}',
    signature: 'X-Notion-Signature',
    headers: sign => ({
      'X-Notion-Signature': `sha256=${sign('sha256', '{"id":"n1","type":"page.created","attempt_number":1}')}`,
    }),
    id: 'n1',
    type: 'page.created',
  },
  {
    preset: 'intercom',
    body: '{"id":"notif_1","topic":"user.created","delivery_attempts":1}',
    signature: 'X-Hub-Signature',
    headers: sign => ({
      'X-Hub-Signature': `sha1=${sign('sha1', '{"id":"notif_1","topic":"user.created","delivery_attempts":1}')}`,
    }),
    id: 'notif_1',
    type: 'user.created',
  },
  {
    preset: 'typeform',
    body: '{"event_id":"t1","event_type":"form_response"}',
    signature: 'Typeform-Signature',
    headers: sign => ({
      'Typeform-Signature': `sha256=${sign('sha256', '{"event_id":"t1","event_type":"form_response"}', 'base64')}`,
    }),
    id: 't1',
    type: 'form_response',
  },
  {
    preset: 'salesforce',
    secret: Buffer.from('ens key').toString('base64'),
    key: Buffer.from('ens key'),
    body: '[{"eventCategoryType":"TransactionalSendEvents.EmailSent"}]',
    signature: 'x-sfmc-ens-signature',
    headers: sign => ({
      'x-sfmc-ens-signature': sign(
        'sha256',
        '[{"eventCategoryType":"TransactionalSendEvents.EmailSent"}]',
        'base64',
      ),
    }),
    type: 'TransactionalSendEvents.EmailSent',
  },
  {
    preset: 'xero',
    body: '{"events":[{"eventCategory":"INVOICE","eventType":"CREATE"}]}',
    signature: 'x-xero-signature',
    headers: sign => ({
      'x-xero-signature': sign(
        'sha256',
        '{"events":[{"eventCategory":"INVOICE","eventType":"CREATE"}]}',
        'base64',
      ),
    }),
    id: null,
    type: 'INVOICE.CREATE',
  },
  {
    preset: 'pagerduty',
    body: '{"event":{"id":"p1","event_type":"incident.triggered"}}',
    signature: 'X-PagerDuty-Signature',
    headers: sign => ({
      'X-PagerDuty-Signature': `v1=${'0'.repeat(64)},v1=${sign('sha256', '{"event":{"id":"p1","event_type":"incident.triggered"}}')}`,
    }),
    id: 'p1',
    type: 'incident.triggered',
  },
  {
    preset: 'line',
    body: '{"events":[{"type":"message","webhookEventId":"01H","deliveryContext":{"isRedelivery":false}}]}',
    signature: 'x-line-signature',
    headers: sign => ({
      'x-line-signature': sign(
        'sha256',
        '{"events":[{"type":"message","webhookEventId":"01H","deliveryContext":{"isRedelivery":false}}]}',
        'base64',
      ),
    }),
    id: '01H',
    type: 'message',
  },
  {
    preset: 'paystack',
    body: '{"event":"charge.success"}',
    signature: 'x-paystack-signature',
    headers: sign => ({ 'x-paystack-signature': sign('sha512', '{"event":"charge.success"}') }),
    id: null,
    type: 'charge.success',
  },
  {
    preset: 'trello',
    url: 'https://hooks.example.com/trello',
    body: '{"action":{"id":"a1","type":"updateCard"}}',
    signature: 'X-Trello-Webhook',
    headers: sign => ({
      'X-Trello-Webhook': sign(
        'sha1',
        '{"action":{"id":"a1","type":"updateCard"}}https://hooks.example.com/trello',
        'base64',
      ),
    }),
    id: 'a1',
    type: 'updateCard',
  },
  {
    preset: 'gocardless',
    body: '{"events":[{"id":"EV1","resource_type":"payments","action":"confirmed"}],"meta":{"webhook_id":"WB1"}}',
    signature: 'Webhook-Signature',
    headers: sign => ({
      'Webhook-Signature': sign(
        'sha256',
        '{"events":[{"id":"EV1","resource_type":"payments","action":"confirmed"}],"meta":{"webhook_id":"WB1"}}',
      ),
    }),
    id: 'WB1',
    type: 'payments.confirmed',
  },
  {
    preset: 'circleci',
    body: '{"id":"c1","type":"workflow-completed"}',
    signature: 'circleci-signature',
    headers: sign => ({
      'circleci-signature': `v1=${sign('sha256', '{"id":"c1","type":"workflow-completed"}')},v2=00`,
      'circleci-event-type': 'workflow-completed',
    }),
    id: 'c1',
    type: 'workflow-completed',
  },
  {
    preset: 'heroku',
    body: '{"id":"h1","webhook_metadata":{"attempt":{"id":"a"},"event":{"id":"e","include":"api:release"}}}',
    signature: 'Heroku-Webhook-Hmac-SHA256',
    headers: sign => ({
      'Heroku-Webhook-Hmac-SHA256': sign(
        'sha256',
        '{"id":"h1","webhook_metadata":{"attempt":{"id":"a"},"event":{"id":"e","include":"api:release"}}}',
        'base64',
      ),
    }),
    id: 'h1',
    type: 'api:release',
  },
  {
    preset: 'easypost',
    secret: 'sécret\u2126',
    key: Buffer.from('sécret\u2126'.normalize('NFKD')),
    body: '{"id":"evt_1","description":"tracker.updated","weight":5}',
    signature: 'X-Hmac-Signature',
    headers: sign => ({
      'X-Hmac-Signature': `hmac-sha256-hex=${sign('sha256', '{"id":"evt_1","description":"tracker.updated","weight":5}')}`,
    }),
    id: 'evt_1',
    type: 'tracker.updated',
  },
  {
    preset: 'paddle',
    body: '{"event_id":"evt_1","event_type":"transaction.completed"}',
    signature: 'Paddle-Signature',
    headers: sign => ({
      'Paddle-Signature': `ts=${NOW};h1=${sign('sha256', `${NOW}:{"event_id":"evt_1","event_type":"transaction.completed"}`)}`,
    }),
    id: 'evt_1',
    type: 'transaction.completed',
    tolerance: 5,
  },
  {
    preset: 'calendly',
    body: '{"event":"invitee.created"}',
    signature: 'Calendly-Webhook-Signature',
    headers: sign => ({
      'Calendly-Webhook-Signature': `t=${NOW},v1=${sign('sha256', `${NOW}.{"event":"invitee.created"}`)}`,
    }),
    id: null,
    type: 'invitee.created',
    tolerance: 180,
  },
  {
    preset: 'workos',
    body: '{ "id":"event_1", "event":"dsync.activated" }',
    signature: 'WorkOS-Signature',
    headers: sign => ({
      'WorkOS-Signature': `t=${MS}, v1=${sign('sha256', `${MS}.{ "id":"event_1", "event":"dsync.activated" }`)}`,
    }),
    id: 'event_1',
    type: 'dsync.activated',
    tolerance: 180,
  },
  {
    preset: 'sanity',
    body: '{"_id":"x"}',
    signature: 'sanity-webhook-signature',
    headers: sign => ({
      'sanity-webhook-signature': `t=${MS},v1=${sign('sha256', `${MS}.{"_id":"x"}`, 'base64url')}`,
      'idempotency-key': 'k1',
      'sanity-operation': 'create',
    }),
    id: 'k1',
    type: 'create',
    tolerance: 300,
  },
  {
    preset: 'mux',
    body: '{"id":"m1","type":"video.asset.ready"}',
    signature: 'Mux-Signature',
    headers: sign => ({
      'Mux-Signature': `t=${NOW},v1=${sign('sha256', `${NOW}.{"id":"m1","type":"video.asset.ready"}`)}`,
    }),
    id: 'm1',
    type: 'video.asset.ready',
    tolerance: 300,
  },
  {
    preset: 'zendesk',
    body: '',
    signature: 'X-Zendesk-Webhook-Signature',
    headers: sign => ({
      'X-Zendesk-Webhook-Signature': sign('sha256', ISO, 'base64'),
      'X-Zendesk-Webhook-Signature-Timestamp': ISO,
    }),
    id: null,
    tolerance: 300,
  },
]

describe('presets that are rows', () => {
  for (const row of ROWS) {
    const secret = row.secret ?? 'current secret'
    const key = row.key ?? Buffer.from(secret)
    const headers = row.headers((hash, text, encoding) => hmac(hash, key, text, encoding))
    const parts = { headers, body: row.body, ...(row.url === undefined ? {} : { url: row.url }) }
    const source = sourceOf({ preset: row.preset, secrets: [secret] })

    it(`${row.preset}: a genuine delivery is accepted with its id and type`, async () => {
      const verification = await judge(source, parts)
      assert.equal(codeOf(verification), 'verified')
      assert(verification.kind === 'verified')
      const { senderId, type } = verification.delivery.verdict
      if (row.id !== undefined) assert.equal(senderId, row.id)
      if (row.type !== undefined) assert.equal(type, row.type)
    })

    it(`${row.preset}: an altered body, another secret and a second signature are refused`, async () => {
      assert.equal(codeOf(await judge(source, { ...parts, body: `${row.body} ` })), 'wrong-signature')
      const other = sourceOf({
        preset: row.preset,
        secrets: [row.secret === undefined ? 'other' : 'b3RoZXI='],
      })
      assert.equal(codeOf(await judge(other, parts)), 'wrong-signature')
      const twice = [...Object.entries(headers), [row.signature, headers[row.signature] ?? ''] as const]
      assert.equal(codeOf(await judge(source, { ...parts, headers: twice })), 'duplicate-signature')
      const { [row.signature]: _, ...unsigned } = headers
      assert.equal(codeOf(await judge(source, { ...parts, headers: unsigned })), 'missing-signature')
    })

    it(`${row.preset}: is ${row.tolerance === undefined ? 'not bound to a time' : `bound to ${row.tolerance} s`}`, async () => {
      if (row.tolerance === undefined) {
        assert.equal(codeOf(await judge(source, parts, NOW_MS + 86_400_000)), 'verified')
        return
      }
      assert.equal(codeOf(await judge(source, parts, NOW_MS + row.tolerance * 1000)), 'verified')
      assert.equal(
        codeOf(await judge(source, parts, NOW_MS + row.tolerance * 1000 + 1000)),
        'stale-timestamp',
      )
      assert.equal(
        codeOf(await judge(source, parts, NOW_MS - row.tolerance * 1000 - 1000)),
        'future-timestamp',
      )
    })
  }

  for (const [preset, header] of [
    ['auth0', 'Authorization'],
    ['datadog', 'X-Our-Token'],
  ] as const) {
    it(`${preset}: the token must be equal, in the header that was agreed on`, async () => {
      const source = sourceOf({
        preset,
        secrets: ['tökén'],
        ...(header === 'Authorization' ? {} : { header }),
      })
      const wire = Buffer.from('tökén', 'utf8').toString('latin1')
      assert.equal(codeOf(await judge(source, { headers: { [header]: wire }, body: '[]' })), 'verified')
      assert.equal(
        codeOf(await judge(source, { headers: { [header]: `${wire}x` }, body: '[]' })),
        'wrong-token',
      )
      assert.equal(
        codeOf(await judge(source, { headers: { 'X-Other': wire }, body: '[]' })),
        'missing-signature',
      )
    })
  }

  it('servicenow: user and password', async () => {
    const source = sourceOf({ preset: 'servicenow', username: 'sn', secrets: ['pass'] })
    const good = `Basic ${Buffer.from('sn:pass').toString('base64')}`
    assert.equal(codeOf(await judge(source, { headers: { Authorization: good } })), 'verified')
    assert.equal(
      codeOf(
        await judge(source, { headers: { Authorization: `Basic ${Buffer.from('sn:').toString('base64')}` } }),
      ),
      'wrong-token',
    )
  })

  it('every sender of the collection beside a checkout has a preset of its name', function () {
    const file = new URL('../../../shared/providers/providers.json', import.meta.url)
    if (!existsSync(file)) this.skip()
    const slugs = (JSON.parse(readFileSync(file, 'utf8')) as { slug: string }[]).map(({ slug }) => slug)
    const names = new Set(listPresets().map(({ name }) => name))
    assert.deepEqual(
      slugs.filter(slug => !names.has(slug)),
      [],
    )
    assert(slugs.length >= 87)
  })
})
