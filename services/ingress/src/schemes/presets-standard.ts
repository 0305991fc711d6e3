import { SIGNED_ID } from './identity-reasons.ts'
import type { Preset, Scheme } from './scheme.ts'
import { svix } from './svix.ts'

/**
 * Standard Webhooks and the senders that use it, some under Svix's header names. The id and the time are signed,
 * so the id is the identity and a replay under another id fails.
 */

function standardScheme(
  family: 'webhook' | 'svix',
  secretEncoding: Scheme['secretEncoding'] = 'whsec',
): Scheme {
  return {
    algorithm: 'hmac-sha256',
    header: `${family}-signature`,
    signed: `{header:${family}-id}.{timestamp}.{body}`,
    encoding: 'base64',
    list: { separator: ' ', assign: ',', label: 'v1' },
    secretEncoding,
    timestamp: { at: `${family}-timestamp`, unit: 's' },
  }
}

function standard(
  facts: Pick<Preset, 'name' | 'title' | 'rank' | 'source' | 'retryHorizon'> & Partial<Preset>,
  family: 'webhook' | 'svix' = 'webhook',
): Preset {
  return {
    identity: 'SENDER_ID',
    identityReason: SIGNED_ID,
    id: `${family}-id`,
    type: '$.type',
    scheme: standardScheme(family),
    ...facts,
  }
}

export const STANDARD_PRESETS: readonly Preset[] = [
  standard({
    name: 'standard-webhooks',
    title: 'Standard Webhooks v1',
    rank: 5,
    source:
      'standard-webhooks/standard-webhooks spec/standard-webhooks.md 1.0.0; standardwebhooks 1.1.1 (npm)',
    retryHorizon: '3d',
  }),
  {
    name: 'svix',
    title: 'Svix',
    rank: 5,
    source: 'svix 2.5.0 dist/webhook.js; svix-docs content/retries.mdx',
    identity: 'SENDER_ID',
    identityReason: SIGNED_ID,
    retryHorizon: '30h',
    scheme: standardScheme('svix'),
    code: context => svix(context, standardScheme('svix'), standardScheme('webhook')),
    type: '$.type',
    caution: 'The names svix-* and webhook-* are both taken; where both are there, svix-* decide.',
  },
  standard({
    name: 'openai',
    title: 'OpenAI',
    rank: 7,
    source: 'openai 7.57.0 resources/webhooks',
    retryHorizon: '72h',
    scheme: standardScheme('webhook', 'whsec-or-utf8'),
  }),
  standard({
    name: 'gitlab-signing',
    title: 'GitLab (signing token)',
    rank: 9,
    source: 'gitlab-org/gitlab !230944, !231325',
    retryHorizon: '24h',
    type: 'X-Gitlab-Event',
  }),
  standard(
    { name: 'resend', title: 'Resend', rank: 13, source: 'resend 6.38.0 (npm)', retryHorizon: '30h' },
    'svix',
  ),
  standard(
    {
      name: 'clerk',
      title: 'Clerk',
      rank: 14,
      source: '@clerk/backend 3.25.0 webhooks',
      retryHorizon: '30h',
    },
    'svix',
  ),
  standard({
    name: 'standard-webhooks-v1a',
    title: 'Standard Webhooks v1a (ed25519)',
    rank: 15,
    source: 'standard-webhooks spec 1.0.0; libraries/go/webhook_asymmetric.go',
    retryHorizon: '3d',
    needs: 'publicKeys',
    scheme: {
      ...standardScheme('webhook'),
      algorithm: 'ed25519',
      list: { separator: ' ', assign: ',', label: 'v1a' },
      publicKey: { form: 'base64', prefix: 'whpk_' },
    },
  }),
  standard({
    name: 'anthropic',
    title: 'Anthropic (Claude Managed Agents)',
    rank: 16,
    source:
      '@anthropic-ai/sdk 1.12.0 resources/beta/webhooks; platform.claude.com/docs/managed-agents/webhooks',
    retryHorizon: '3d',
    type: '$.data.type',
    caution: 'Deliveries are thin: fetch the object by its id.',
  }),
  standard({
    name: 'bigcommerce',
    title: 'BigCommerce',
    rank: 45,
    source: 'bigcommerce/docs https-webhook-overview.mdx',
    retryHorizon: '48h',
    scheme: standardScheme('webhook', 'utf8'),
    type: '$.scope',
  }),
  standard({
    name: 'polar',
    title: 'Polar',
    rank: 54,
    source: '@polar-sh/sdk 1.0.1 webhooks',
    retryHorizon: '24h',
    scheme: standardScheme('webhook', 'utf8-or-base64'),
  }),
  standard({
    name: 'replicate',
    title: 'Replicate',
    rank: 54,
    source: 'replicate 1.4.0 lib/util.js (which checks neither the time nor the version label; this does)',
    retryHorizon: '24h',
    type: '$.status',
  }),
]
