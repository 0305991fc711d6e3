import type { SourceSettings } from '@sallyport/ingress/sources'

/** The options that a preset cannot do without. */
const NEEDED: Readonly<Record<string, Partial<SourceSettings>>> = {
  paypal: { webhookId: 'w' },
  sns: { topicArns: ['arn:aws:sns:eu-west-1:1:t'] },
  pubsub: { audience: 'a', email: 'e@x.iam.gserviceaccount.com' },
  plaid: { clientId: 'c' },
  livekit: { apiKey: 'k' },
  braintree: { publicKey: 'p' },
  postmark: { username: 'u' },
  servicenow: { username: 'u' },
  'salesforce-outbound': { organizationIds: ['00D000000000001AAA'] },
}
export const DISCORD_KEY = 'bc183aaaea3207d7dccd709c09eefba85163776525862b2906f235fcec8fab5b'
const PUBLIC_KEYS: Readonly<Record<string, string>> = {
  discord: DISCORD_KEY,
  'standard-webhooks-v1a': `whpk_${Buffer.from(DISCORD_KEY, 'hex').toString('base64')}`,
  sendgrid:
    'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEOnvEfwRkQ5a6rz735MmLCiBlYD+Hmch8N9UwEFm7apK7TYT+9G+A57K3XzJJexutgwiMeTeh2wFlfpn0fli/NA==',
}

/** What a source of a preset needs at least. */
export function settingsOf(preset: string): SourceSettings {
  const publicKey = PUBLIC_KEYS[preset]
  // A text that is hex, base64 and a text.
  const keys = publicKey === undefined ? { secrets: ['c0ffeec0ffeec0ff'] } : { publicKeys: [publicKey] }
  return { preset, ...keys, ...NEEDED[preset] }
}
