/** Judged vectors: one HTTP request each, with the settings of the source that it was sent to. */
import type { FetchText } from '@sallyport/ingress/schemes/fetch'
import { compileSource, type Source, type SourceSettings } from '@sallyport/ingress/sources'

/** One vector of a file. */
export interface Vector {
  readonly id: string
  readonly provider: string
  readonly variant?: string
  readonly kind: 'delivery' | 'handshake'
  /** The clock, unix seconds. */
  readonly now: number
  readonly method: string
  readonly url: string
  /** Pairs in the order of arrival. */
  readonly headers: readonly (readonly [string, string])[]
  readonly body_base64: string
  readonly config?: VectorConfig
}

/** The source's settings, as vectors write them. */
export interface VectorConfig {
  readonly secret_encoding?: string
  readonly secrets?: readonly string[]
  readonly public_keys?: readonly string[]
  readonly version?: string
  readonly verify_token?: string
  readonly audience?: string
  /** URL or key id → PEM. */
  readonly certs?: Readonly<Record<string, string>>
  readonly webhook_id?: string
  readonly username?: string
  readonly password?: string
  readonly email?: string
  readonly topic_arns?: readonly string[]
  readonly notification_url?: string
  readonly callback_url?: string
  readonly merchant_id?: string
  readonly private_key?: string
  readonly public_key?: string
  readonly mode?: string
  readonly api_key?: string
  readonly jwks?: unknown
}

/** Presets of variants whose name is not `provider-variant`. */
const VARIANT_PRESETS: Readonly<Record<string, string>> = {
  'gitlab/token': 'gitlab',
  'gitlab/signing-token': 'gitlab-signing',
  'twilio/form': 'twilio',
  'twilio/json': 'twilio',
  'twilio/sha256': 'twilio',
  'salesforce/ens': 'salesforce',
}

const SECRET_ENCODINGS = ['utf8', 'hex', 'base64'] as const

function presetOf({ provider, variant, config }: Vector): string {
  const chosen = variant ?? (provider === 'hubspot' ? (config?.version ?? 'v3') : undefined)
  if (chosen === undefined) return provider === 'adyen' ? 'adyen-payments' : provider
  return VARIANT_PRESETS[`${provider}/${chosen}`] ?? `${provider}-${chosen}`
}

/** Presets that wait for the sender to offer the secret. */
const OFFERS_SECRET = new Set(['asana', 'notion', 'salesforce'])

function settingsOf(vector: Vector): SourceSettings {
  const config = vector.config ?? {}
  const preset = presetOf(vector)
  const settings: Record<string, unknown> = { preset }
  const set = (name: string, value: unknown) => {
    if (value !== undefined) settings[name] = value
  }
  set('secrets', config.secrets ?? (config.password === undefined ? undefined : [config.password]))
  set('publicKeys', config.public_keys)
  set(
    'secretEncoding',
    SECRET_ENCODINGS.find(encoding => encoding === config.secret_encoding?.replace('-', '')),
  )
  set('verifyToken', config.verify_token)
  set('audience', config.audience)
  set('email', config.email)
  set('webhookId', config.webhook_id)
  set('username', config.username)
  set('topicArns', config.topic_arns)
  set('url', config.notification_url ?? config.callback_url)
  set('mode', config.mode)
  set('apiKey', config.api_key)
  if (preset === 'braintree') {
    set('publicKey', config.public_key)
    set('secrets', config.secrets ?? (config.private_key === undefined ? undefined : [config.private_key]))
  }
  if (preset === 'plaid') {
    // The vectors bring the keys; what would fetch them is not a part of the verdict.
    settings.clientId = 'vectors'
    set('secrets', config.secrets ?? ['vectors'])
  }
  if (OFFERS_SECRET.has(preset) && (config.secrets ?? []).length === 0) settings.awaitSecret = true
  return settings as SourceSettings
}

/** Answers fetches from the vector's certificates and keys, and from nowhere else. */
function fetchFrom(config: VectorConfig): FetchText {
  return async (url, init) => {
    const pem = config.certs?.[url]
    if (pem !== undefined) return pem
    if (url === 'https://www.googleapis.com/oauth2/v1/certs' && config.certs !== undefined) {
      return JSON.stringify(config.certs)
    }
    if (config.jwks !== undefined && url.endsWith('/webhook_verification_key/get')) {
      const { key_id } = JSON.parse(init?.body ?? '{}') as { key_id?: string }
      const key = jwkOf(config.jwks, key_id ?? '')
      if (key !== undefined) return JSON.stringify(Object.hasOwn(key, 'key') ? key : { key })
    }
    throw new Error(`${url} is not among the vector's certificates and keys`)
  }
}

/** A key of a JWK Set, of a list, or of a map by key id; the map may hold whole answers of Plaid's. */
function jwkOf(jwks: unknown, keyId: string): object | undefined {
  const set = (jwks as { keys?: unknown }).keys ?? jwks
  if (Array.isArray(set)) return set.find(key => (key as { kid?: unknown }).kid === keyId)
  return Object.hasOwn(set as object, keyId) ? (set as Record<string, object>)[keyId] : undefined
}

/** The source that a vector's configuration describes. Throws as `compileSource` does. */
export function sourceOf(vector: Vector): Source {
  return compileSource(vector.provider.replaceAll(/[^a-z0-9_-]/g, '-'), settingsOf(vector), {
    fetchText: fetchFrom(vector.config ?? {}),
  })
}
