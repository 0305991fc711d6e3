import { BODY_ID, HEADER_ID, NO_ID, NOT_SIGNED } from './identity-reasons.ts'
import { plaid } from './plaid.ts'
import { pubsub } from './pubsub.ts'
import type { Preset } from './scheme.ts'
import { livekit, messagebird, monday, netlify, qstash } from './shared-jwt.ts'

/** Senders that prove themselves with a JSON Web Token. */
export const JWT_PRESETS: readonly Preset[] = [
  {
    name: 'pubsub',
    title: 'Google Cloud Pub/Sub push (OIDC)',
    rank: 13,
    source: 'google-auth-library 11.3.4; cloud.google.com/pubsub authenticate push subscriptions',
    identity: 'DIGEST',
    identityReason:
      'nothing of the body is signed, and deliveryAttempt changes: the digest is of the message id',
    retryHorizon: '7d',
    needs: 'nothing',
    code: pubsub,
    options: {
      audience: { kind: 'texts', required: true, words: 'the audience that the push subscription is set to' },
      email: { kind: 'texts', required: true, words: 'the service account of the push subscription' },
    },
    caution: 'The token proves the sender, not the body.',
  },
  {
    name: 'plaid',
    title: 'Plaid',
    rank: 29,
    source: 'plaid.com/docs/api/webhooks/webhook-verification',
    identity: 'DIGEST',
    identityReason: NO_ID,
    retryHorizon: '24h',
    code: plaid,
    type: [['$.webhook_type', '$.webhook_code']],
    options: {
      clientId: {
        kind: 'text',
        required: true,
        words: 'the client id at Plaid; its secret is the source’s secret',
      },
      environment: {
        kind: 'text',
        values: ['production', 'sandbox'],
        words: 'which of Plaid’s environments sends',
      },
    },
  },
  {
    name: 'monday',
    title: 'monday.com',
    rank: 38,
    source: 'developer.monday.com webhooks, app signing secret',
    identity: 'DIGEST',
    identityReason: NOT_SIGNED,
    retryHorizon: '1h',
    code: monday,
    id: '$.event.triggerUuid',
    type: '$.event.type',
    handshake: 'monday',
    options: {
      audience: { kind: 'texts', words: 'the URL that monday.com puts into the token as its audience' },
    },
    caution: 'The token proves the sender, not the body. Webhooks that are created on a board are unsigned.',
  },
  {
    name: 'netlify',
    title: 'Netlify',
    rank: 44,
    source: 'docs.netlify.com deploy notifications; nuxt-webhook-validators 0.2.12',
    identity: 'DIGEST',
    identityReason: NO_ID,
    retryHorizon: '24h',
    code: netlify,
    type: 'X-Netlify-Event',
    caution: 'The token has no time: replays are caught by de-duplication alone.',
  },
  {
    name: 'qstash',
    title: 'Upstash QStash',
    rank: 51,
    source: '@upstash/qstash 2.12.0',
    identity: 'DIGEST',
    identityReason: HEADER_ID,
    retryHorizon: '24h',
    code: qstash,
    signedUrl: 'whole',
    id: 'Upstash-Message-Id',
    methods: ['POST', 'PUT', 'PATCH', 'GET', 'DELETE'],
    caution:
      'Two messages with equal bodies count as one within the window: put something of their own into each.',
  },
  {
    name: 'livekit',
    title: 'LiveKit',
    rank: 52,
    source: 'livekit-server-sdk 2.19.2',
    identity: 'SENDER_ID',
    identityReason: BODY_ID,
    retryHorizon: '24h',
    code: livekit,
    id: '$.id',
    type: '$.event',
    options: {
      apiKey: { kind: 'text', required: true, words: 'the API key, which the token names as its issuer' },
    },
  },
  {
    name: 'messagebird',
    title: 'Bird / MessageBird',
    rank: 54,
    source: 'messagebird 4.0.1 lib/webhook-signature-jwt.js',
    identity: 'DIGEST',
    identityReason: 'jti differs from attempt to attempt',
    retryHorizon: '24h',
    code: messagebird,
    signedUrl: 'whole',
    type: ['$.type', '$.event'],
    caution: 'Bird signs the URL as registered: beyond loopback set url or ingress.publicUrl.',
  },
]
