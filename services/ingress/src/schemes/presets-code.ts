import { adyenPayments } from './adyen-payments.ts'
import { box } from './box.ts'
import { braintree } from './braintree.ts'
import { contentful } from './contentful.ts'
import { docusign } from './docusign.ts'
import { graph } from './graph.ts'
import { BODY_ID, HEADER_ID, NO_ID, NOT_SIGNED } from './identity-reasons.ts'
import { mailgun } from './mailgun.ts'
import { mandrill } from './mandrill.ts'
import { paypal } from './paypal.ts'
import { plivo } from './plivo.ts'
import { SALESFORCE_ACK, salesforceOutbound } from './salesforce-outbound.ts'
import type { Preset } from './scheme.ts'
import { sns } from './sns.ts'
import { twilio } from './twilio.ts'

/** Senders whose signature no row can say: each has a file of its own. Token senders: presets-jwt.ts. */

const XML = { 'content-type': 'text/xml; charset=utf-8' }
const TEXT = { 'content-type': 'text/plain; charset=utf-8' }

export const CODE_PRESETS: readonly Preset[] = [
  {
    name: 'twilio',
    title: 'Twilio',
    rank: 6,
    source: 'twilio 6.2.0 lib/webhooks/webhooks.js; twilio 9.13.0 (PyPI) request_validator.py',
    identity: 'DIGEST',
    identityReason: 'the idempotency token is not signed; the digest is of the signed URL and fields',
    retryHorizon: '1h',
    code: twilio,
    signedUrl: 'whole',
    id: 'I-Twilio-Idempotency-Token',
    type: ['form:EventType', 'form:MessageStatus', 'form:SmsStatus', 'form:CallStatus', '$.EventType'],
    methods: ['POST', 'GET'],
    success: { status: 200, headers: XML, body: '<?xml version="1.0" encoding="UTF-8"?><Response/>' },
    caution:
      'Twilio signs the URL as configured there: beyond loopback set url or ingress.publicUrl. JSON needs bodySHA256 in the URL.',
  },
  {
    name: 'paypal',
    title: 'PayPal',
    rank: 11,
    source: 'developer.paypal.com webhooks, self-verification',
    identity: 'DIGEST',
    identityReason:
      'only a CRC-32 of the body is signed; the digest is of the signed transmission id, time and CRC',
    retryHorizon: '3d',
    needs: 'nothing',
    code: paypal,
    id: '$.id',
    type: '$.event_type',
    options: {
      webhookId: { kind: 'text', required: true, words: 'the id of the webhook at PayPal, which is signed' },
    },
    caution:
      'Whoever has one genuine delivery can alter its body: fetch the resource from PayPal before money moves.',
  },
  {
    name: 'sns',
    title: 'AWS SNS (HTTPS)',
    rank: 11,
    source: 'sns-validator 0.3.5; sns-payload-validator 2.1.0; docs.aws.amazon.com SNS message verification',
    identity: 'SENDER_ID',
    identityReason: 'MessageId is a signed field and is repeated on every retry',
    retryHorizon: '1h',
    needs: 'nothing',
    code: sns,
    id: '$.MessageId',
    type: '$.Type',
    options: {
      topicArns: {
        kind: 'texts',
        required: true,
        words:
          'the ARNs of the topics that may send here: a signature only says "SNS"; certificates and confirmations come from the host of the topic’s region',
      },
      signatureVersions: {
        kind: 'texts',
        values: ['1', '2'],
        words:
          'the signature versions that are taken, both by default: 1 is SHA-1, so set 2 once the topic signs so',
      },
    },
    caution:
      'MessageAttributes, UnsubscribeURL and whatever else a message holds are not signed: only Message, MessageId, Subject, Timestamp, TopicArn and Type are. Raw message delivery is not signed and therefore refused.',
  },
  {
    name: 'adyen-payments',
    title: 'Adyen (payments webhooks)',
    rank: 20,
    source: '@adyen/api-library 32.1.0 utils/hmacValidator.js',
    identity: 'DIGEST',
    identityReason: 'there is no delivery id; the digest is of the signed fields of every item',
    retryHorizon: '7d',
    code: adyenPayments,
    success: { status: 200, headers: TEXT, body: '[accepted]' },
    caution:
      'Eight fields of an item are signed, the others can be altered; of a batch, which JSON webhooks are not, each item alone.',
  },
  {
    name: 'msgraph',
    title: 'Microsoft Graph',
    rank: 20,
    source: 'learn.microsoft.com graph/change-notifications-delivery-webhooks',
    identity: 'DIGEST',
    identityReason: NOT_SIGNED,
    retryHorizon: '4h',
    code: graph,
    handshake: 'graph',
    success: { status: 202, headers: {}, body: '' },
    caution: 'clientState proves the sender, not the body.',
  },
  {
    name: 'mailgun',
    title: 'Mailgun',
    rank: 22,
    source: 'django-anymail 15.2 webhooks/mailgun.py; documentation.mailgun.com securing webhooks',
    identity: 'DIGEST',
    identityReason:
      'only a time and a token are signed; the digest is of these, so that altered data is no new event',
    retryHorizon: '9h',
    code: mailgun,
    id: ['$.event-data.id', 'form:Message-Id'],
    type: ['$.event-data.event', 'form:event'],
    caution: 'The event data is not signed.',
  },
  {
    name: 'salesforce-outbound',
    title: 'Salesforce (outbound messages)',
    rank: 32,
    source: 'Salesforce outbound messaging documentation',
    identity: 'DIGEST',
    identityReason: NOT_SIGNED,
    retryHorizon: '7d',
    code: salesforceOutbound,
    success: { status: 200, headers: XML, body: SALESFORCE_ACK },
    options: {
      organizationIds: {
        kind: 'texts',
        required: true,
        words: 'the ids of the organisations that may send here',
      },
    },
    caution:
      'Salesforce signs nothing: put ?token= with the secret into the address, and mutual TLS in front.',
  },
  {
    name: 'docusign',
    title: 'DocuSign Connect',
    rank: 35,
    source: 'nuxt-webhook-validators 0.2.12 docusign.js; DocuSign Connect HMAC documentation',
    identity: 'DIGEST',
    identityReason: `${NO_ID}; retryCount, which changes, is left out`,
    retryHorizon: '15d',
    code: docusign,
    type: '$.event',
  },
  {
    name: 'box',
    title: 'Box V2',
    rank: 37,
    source: 'box-node-sdk 10.12.0; developer.box.com guides/webhooks/v2',
    identity: 'SENDER_ID',
    identityReason: `${BODY_ID}; BOX-DELIVERY-ID changes with every attempt`,
    retryHorizon: '2h',
    code: box,
    id: '$.id',
    type: '$.trigger',
  },
  {
    name: 'braintree',
    title: 'Braintree',
    rank: 40,
    source: 'braintree 3.40.0 lib/braintree/webhook_notification_gateway.js',
    identity: 'DIGEST',
    identityReason: `${NO_ID}; the digest is of the signed payload`,
    retryHorizon: '24h',
    code: braintree,
    probes: ['GET'],
    options: {
      publicKey: {
        kind: 'text',
        required: true,
        words: 'the public API key; the private ones are the secrets',
      },
    },
  },
  {
    name: 'mandrill',
    title: 'Mailchimp Transactional (Mandrill)',
    rank: 46,
    source: 'django-anymail 15.2 webhooks/mandrill.py',
    identity: 'DIGEST',
    identityReason: 'a delivery is a batch; the digest is of the signed URL and fields',
    retryHorizon: '24h',
    code: mandrill,
    signedUrl: 'whole',
    probes: ['HEAD'],
    caution: 'Mandrill signs the URL as configured there: beyond loopback set url or ingress.publicUrl.',
  },
  {
    name: 'contentful',
    title: 'Contentful',
    rank: 50,
    source: '@contentful/node-apps-toolkit 3.16.1 requests',
    identity: 'DIGEST',
    identityReason: `${HEADER_ID}, unless Contentful lists it as signed: then the digest is of the id`,
    retryHorizon: '24h',
    code: contentful,
    signedUrl: 'path',
    id: 'X-Contentful-Idempotency-Key',
    type: 'X-Contentful-Topic',
    methods: ['POST', 'PUT', 'PATCH', 'GET', 'DELETE'],
  },
  {
    name: 'plivo',
    title: 'Plivo V3',
    rank: 53,
    source: 'plivo 4.79.0 utils/v3Security',
    identity: 'DIGEST',
    identityReason: `${NO_ID}; the digest is of the signed URL and fields without the nonce`,
    retryHorizon: '24h',
    code: plivo,
    signedUrl: 'whole',
    id: ['form:MessageUUID', 'form:CallUUID'],
    type: ['form:Status', 'form:CallStatus', 'form:Event'],
    methods: ['POST', 'GET'],
    caution: 'Plivo signs the URL as configured there: beyond loopback set url or ingress.publicUrl.',
  },
]
