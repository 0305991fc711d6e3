import { BODY_ID, NOT_SIGNED } from './identity-reasons.ts'
import { asLabel } from './location.ts'
import type { Reading } from './reading.ts'
import type { Preset } from './scheme.ts'

/** Senders that sign the URL too, or with a private key; and those that only send a token. */

export const URL_PRESETS: readonly Preset[] = [
  {
    name: 'square',
    title: 'Square',
    rank: 19,
    source: 'square 46.0.0 wrapper/WebhooksHelper.js; developer.squareup.com webhooks',
    identity: 'SENDER_ID',
    identityReason: BODY_ID,
    retryHorizon: '24h',
    scheme: {
      algorithm: 'hmac-sha256',
      header: 'x-square-hmacsha256-signature',
      signed: '{url}{body}',
      encoding: 'base64',
    },
    id: '$.event_id',
    type: '$.type',
    caution:
      'Square signs the notification URL as configured there: beyond loopback set url or ingress.publicUrl.',
  },
  {
    name: 'trello',
    title: 'Trello',
    rank: 42,
    source: 'developer.atlassian.com/cloud/trello webhooks',
    identity: 'SENDER_ID',
    identityReason: BODY_ID,
    retryHorizon: '1h',
    scheme: {
      algorithm: 'hmac-sha1',
      header: 'X-Trello-Webhook',
      signed: '{body}{url}',
      encoding: 'base64',
    },
    id: '$.action.id',
    type: '$.action.type',
    handshake: 'head',
    probes: ['HEAD'],
    caution: 'Trello signs the callback URL as registered: beyond loopback set url or ingress.publicUrl.',
  },
]

export const KEY_PRESETS: readonly Preset[] = [
  {
    name: 'discord',
    title: 'Discord (interactions, webhook events)',
    rank: 10,
    source: 'discord/discord-api-docs docs/events/webhook-events.mdx; discord-interactions 4.4.0',
    identity: 'SENDER_ID',
    identityReason: `${BODY_ID}; webhook events have none and fall back to a digest`,
    retryHorizon: '1h',
    needs: 'publicKeys',
    scheme: {
      algorithm: 'ed25519',
      header: 'X-Signature-Ed25519',
      signed: '{timestamp}{body}',
      publicKey: { form: 'hex' },
      timestamp: { at: 'X-Signature-Timestamp', unit: 's' },
    },
    id: '$.id',
    type: ['$.event.type', '$.type'],
    handshake: 'discord',
    options: {
      mode: {
        kind: 'text',
        values: ['interactions', 'webhook-events'],
        words: 'which of Discord’s two products calls: their pings want different answers',
      },
    },
    caution: 'Discord probes with bad signatures and removes an address that does not answer 401.',
  },
  {
    name: 'sendgrid',
    title: 'SendGrid Event Webhook',
    rank: 12,
    source: '@sendgrid/eventwebhook 8.0.0; Twilio SendGrid event webhook security features',
    identity: 'DIGEST',
    identityReason: 'a delivery is a batch of events with an id each',
    retryHorizon: '24h',
    needs: 'publicKeys',
    scheme: {
      algorithm: 'ecdsa-p256-sha256',
      header: 'X-Twilio-Email-Event-Webhook-Signature',
      signed: '{timestamp}{body}',
      encoding: 'base64',
      publicKey: { form: 'spki' },
      timestamp: { at: 'X-Twilio-Email-Event-Webhook-Timestamp', unit: 's', tolerance: '10m', future: '5m' },
    },
    id: '$[0].sg_event_id',
    type: '$[0].event',
    caution:
      'The body ends with CRLF, which is signed. ECDSA signatures are malleable: never compare them as ids.',
  },
]

export const TOKEN_PRESETS: readonly Preset[] = [
  {
    name: 'gitlab',
    title: 'GitLab (secret token)',
    rank: 9,
    source: 'docs.gitlab.com webhooks',
    identity: 'DIGEST',
    identityReason: NOT_SIGNED,
    retryHorizon: '24h',
    scheme: { algorithm: 'token', header: 'X-Gitlab-Token' },
    id: ['Idempotency-Key', 'X-Gitlab-Event-UUID'],
    type: 'X-Gitlab-Event',
    caution: 'The token proves the sender, not the body: prefer gitlab-signing.',
  },
  {
    name: 'telegram',
    title: 'Telegram Bot API',
    rank: 14,
    source: 'core.telegram.org/bots/api#setwebhook; grammy 1.46.0',
    identity: 'DIGEST',
    identityReason: NOT_SIGNED,
    retryHorizon: '24h',
    scheme: { algorithm: 'token', header: 'X-Telegram-Bot-Api-Secret-Token' },
    id: '$.update_id',
    typeOf: updateKind,
    success: { status: 200, headers: {}, body: '' },
    caution: 'The token proves the sender, not the body.',
  },
  {
    name: 'postmark',
    title: 'Postmark',
    rank: 23,
    source: 'django-anymail 15.2; RFC 7617',
    identity: 'DIGEST',
    identityReason: NOT_SIGNED,
    retryHorizon: '12h',
    scheme: { algorithm: 'basic', header: 'Authorization' },
    id: ['$.ID', '$.MessageID'],
    type: '$.RecordType',
    caution: 'The password proves the sender, not the body. A 403 answer stops the retries.',
  },
  {
    name: 'okta',
    title: 'Okta (event hooks)',
    rank: 34,
    source: 'okta/okta-developer-docs concepts/event-hooks',
    identity: 'DIGEST',
    identityReason: NOT_SIGNED,
    retryHorizon: '1h',
    scheme: { algorithm: 'token', header: 'Authorization' },
    id: '$.eventId',
    type: ['$.data.events[0].eventType', '$.eventType'],
    handshake: 'okta',
    probes: ['GET'],
    caution: 'The token proves the sender, not the body. A 4xx answer loses the event.',
  },
  {
    name: 'auth0',
    title: 'Auth0 (log streams, custom webhook)',
    rank: 43,
    source: 'auth0.com/docs log streams, custom webhook',
    identity: 'DIGEST',
    identityReason: NOT_SIGNED,
    retryHorizon: '24h',
    scheme: { algorithm: 'token', header: 'Authorization' },
    id: ['$[0].log_id', '$.log_id'],
    type: ['$[0].data.type', '$.data.type'],
    caution: 'The token proves the sender, not the body.',
  },
  {
    name: 'datadog',
    title: 'Datadog',
    rank: 46,
    source: 'docs.datadoghq.com integrations/webhooks',
    identity: 'DIGEST',
    identityReason: NOT_SIGNED,
    retryHorizon: '1h',
    scheme: { algorithm: 'token', header: 'Authorization' },
    id: '$.id',
    type: ['$.event_type', '$.alert_transition'],
    caution: 'Datadog sends what its custom headers say: put the token in one, and name it with header.',
  },
  {
    name: 'buildkite-token',
    title: 'Buildkite (token)',
    rank: 48,
    source: 'buildkite/docs pages/apis/webhooks',
    identity: 'DIGEST',
    identityReason: NOT_SIGNED,
    retryHorizon: '24h',
    scheme: { algorithm: 'token', header: 'X-Buildkite-Token' },
    id: 'X-Buildkite-Request',
    type: ['X-Buildkite-Event', '$.event'],
    caution: 'The token proves the sender, not the body: prefer buildkite.',
  },
  {
    name: 'servicenow',
    title: 'ServiceNow (outbound REST, business rules)',
    rank: 53,
    source: 'ServiceNow outbound REST documentation',
    identity: 'DIGEST',
    identityReason: NOT_SIGNED,
    retryHorizon: '24h',
    scheme: { algorithm: 'basic', header: 'Authorization' },
    id: '$.sys_id',
    caution:
      'The sender’s administrator chooses how to authenticate: this is basic; for a key use a custom token scheme.',
  },
]

/** Telegram's type is the name of the one member beside update_id: `message`, `callback_query`, … */
function updateKind(reading: Reading): string | null {
  const { value } = reading.json()
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null
  const names = Object.keys(value).filter(name => name !== 'update_id')
  return names.length === 1 ? asLabel(names[0]) : null
}
