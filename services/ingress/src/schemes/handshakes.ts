/**
 * The questions that senders ask before or beside their events, and the answers.
 *
 * A greeting is judged before any signature, because the sender signs nothing yet: its answer must be harmless
 * whoever asks. A response is judged after the proof. Invariants, cited by the tests:
 * H1  No answer is a signature of a text that somebody unproven chose freely (X's CRC, Braintree's challenge).
 * H2  A secret that a greeting offers is taken only in a time that an operator opened (`learning.ts`); else the answer is
 *     that of any delivery that proves nothing.
 * H3  What is echoed is short, and sent as text/plain with nosniff or as JSON: no page of ours runs it.
 */
import { createHmac } from 'node:crypto'
import type { SenderResponse } from '../delivery.ts'
import { equalBytes } from './compare.ts'
import type { IndexedKey } from './keys.ts'
import type { Reading } from './reading.ts'
import { type Rejection, reject } from './rejections.ts'
import type { HandshakeName } from './scheme.ts'
import type { Authentic, HeaderNames } from './verifier.ts'

/** A request that is no event but wants this answer. */
export interface Challenge {
  readonly kind: 'challenge'
  /** Which handshake, for logs and metrics. */
  readonly code: string
  readonly response: SenderResponse
  /** A secret that the sender hands over: it must be learnt before the answer, or the request refused (H2). */
  readonly storesSecret?: string
  /** An address of the sender that must be fetched before the answer, to complete the subscription. */
  readonly confirmUrl?: string
}

/** What a handshake may use. */
export interface HandshakeContext {
  readonly keys: readonly IndexedKey[]
  /** The source takes the secret that its sender offers, when an operator lets it. */
  readonly learns: boolean
  readonly option: (name: string) => string | undefined
}

interface Handshake {
  /** Headers in which a secret is handed over: see `Verifier.proof`. */
  readonly proof?: HeaderNames
  readonly greet?: (reading: Reading, context: HandshakeContext) => Challenge | Rejection | null
  readonly respond?: (
    reading: Reading,
    context: HandshakeContext,
    authentic: Authentic,
  ) => Challenge | Rejection | null
}

const ECHO_MAX = 1024
const HOOK_SECRET = 'x-hook-secret'
const TEXT_HEADERS = { 'content-type': 'text/plain', 'x-content-type-options': 'nosniff' }
const JSON_HEADERS = { 'content-type': 'application/json', 'x-content-type-options': 'nosniff' }

/** An answer of plain text, which a browser will not take for anything else. */
export function textAnswer(code: string, body: string): Challenge {
  return { kind: 'challenge', code, response: { status: 200, headers: TEXT_HEADERS, body } }
}

/** An answer of JSON. */
export function jsonAnswer(code: string, value: unknown): Challenge {
  return {
    kind: 'challenge',
    code,
    response: { status: 200, headers: JSON_HEADERS, body: JSON.stringify(value) },
  }
}

/** An answer without body. */
export function emptyAnswer(code: string, status = 200, headers: Record<string, string> = {}): Challenge {
  return { kind: 'challenge', code, response: { status, headers, body: '' } }
}

/** The body as an object, or null. */
function bodyObject(reading: Reading): Record<string, unknown> | null {
  const { value } = reading.json()
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null
}

function knowsSecret(context: HandshakeContext, text: string): boolean {
  const given = Buffer.from(text, 'utf8')
  let known = false
  for (const key of context.keys) known = equalBytes(given, Buffer.from(key.text, 'utf8')) || known
  return known
}

/** H2: repeats the answer for a secret that is known; whether another one may be learnt is not for the request to say. */
function offeredSecret(
  context: HandshakeContext,
  offer: string | null,
  answer: Challenge,
): Challenge | Rejection {
  if (offer === null || !/^[\x21-\x7e]{8,512}$/.test(offer)) return reject('secret-not-expected')
  if (knowsSecret(context, offer)) return answer
  return context.learns ? { ...answer, storesSecret: offer } : reject('secret-not-expected')
}

function hexMac(key: IndexedKey, text: string): string {
  return createHmac('sha256', key.key).update(text).digest('hex')
}

const HANDSHAKES: Readonly<Record<HandshakeName, Handshake>> = {
  /** GET hub.mode=subscribe with our verify token. Graph API, "Verification Requests". */
  meta: {
    greet(reading, context) {
      if (reading.request.method !== 'GET') return null
      const token = reading.queryField('hub.verify_token')
      const challenge = reading.queryField('hub.challenge')
      const ours = context.option('verifyToken')
      if (reading.queryField('hub.mode') !== 'subscribe' || token === null || ours === undefined) {
        return reject('challenge-refused')
      }
      if (!equalBytes(Buffer.from(token, 'utf8'), Buffer.from(ours, 'utf8')))
        return reject('challenge-refused')
      if (challenge === null || challenge === '' || challenge.length > ECHO_MAX)
        return reject('challenge-refused')
      return textAnswer('meta-verify', challenge)
    },
  },
  /** Signed. Slack Events API, url_verification. */
  slack: {
    respond(reading) {
      const body = bodyObject(reading)
      if (body?.type !== 'url_verification') return null
      const { challenge } = body
      if (typeof challenge !== 'string' || challenge.length > ECHO_MAX) return reject('challenge-refused')
      return textAnswer('slack-url-verification', challenge)
    },
  },
  /** Signed, and answered only then: the answer is a MAC of the text asked for (H1). */
  zoom: {
    respond(reading, context, authentic) {
      const body = bodyObject(reading)
      if (body?.event !== 'endpoint.url_validation') return null
      const plainToken = (body.payload as { plainToken?: unknown } | undefined)?.plainToken
      const key = context.keys.find(candidate => candidate.secretIndex === authentic.secretIndex)
      if (typeof plainToken !== 'string' || !/^[A-Za-z0-9_-]{1,128}$/.test(plainToken) || key === undefined) {
        return reject('challenge-refused')
      }
      return jsonAnswer('zoom-url-validation', { plainToken, encryptedToken: hexMac(key, plainToken) })
    },
  },
  /** Signed. The message type header is not: what counts is the signed body. */
  twitch: {
    respond(reading) {
      const body = bodyObject(reading)
      if (body === null || !Object.hasOwn(body, 'challenge') || Object.hasOwn(body, 'event')) return null
      const { challenge } = body
      if (typeof challenge !== 'string' || challenge.length > ECHO_MAX) return reject('challenge-refused')
      return textAnswer('twitch-callback-verification', challenge)
    },
  },
  /** Signed. Interactions ping with type 1, webhook events with type 0 (an event of type 1 carries `event`). */
  discord: {
    respond(reading, context) {
      const body = bodyObject(reading)
      const mode = context.option('mode')
      if (mode !== 'interactions' && body?.type === 0) return emptyAnswer('discord-ping', 204)
      if (mode !== 'webhook-events' && body?.type === 1 && !Object.hasOwn(body, 'event')) {
        return jsonAnswer('discord-ping', { type: 1 })
      }
      return null
    },
  },
  /** GET ?challenge=, echoed (H3). */
  dropbox: {
    greet(reading) {
      if (reading.request.method !== 'GET') return null
      const challenge = reading.queryField('challenge')
      if (challenge === null || challenge === '' || challenge.length > ECHO_MAX)
        return reject('challenge-refused')
      return textAnswer('dropbox-challenge', challenge)
    },
  },
  /**
   * GET ?crc_token=: whoever asks gets HMAC(secret, token), which is what a delivery with that body carries. So
   * only short tokens of letters, digits, - and _ are answered (H1), and no such text is taken as a body.
   */
  twitter: {
    greet(reading, context) {
      if (reading.request.method !== 'GET') {
        const { body } = reading.request
        return body.length <= 128 && isCrcToken(body.toString('latin1')) ? reject('malformed-body') : null
      }
      const token = reading.queryField('crc_token')
      const key = context.keys[0]
      if (token === null || key === undefined || !isCrcToken(token)) return reject('challenge-refused')
      const mac = createHmac('sha256', key.key).update(token).digest('base64')
      return jsonAnswer('twitter-crc', { response_token: `sha256=${mac}` })
    },
  },
  /** POST ?validationToken=, echoed decoded (H3). */
  graph: {
    greet(reading) {
      const token = reading.queryField('validationToken')
      if (token === null) return null
      if (token === '' || token.length > ECHO_MAX || reading.request.body.length > 0)
        return reject('challenge-refused')
      return textAnswer('graph-validation', token)
    },
  },
  /** GET with a header to echo as JSON (H3). A wrong Authorization is refused; Okta sends ours. */
  okta: {
    greet(reading, context) {
      if (reading.request.method !== 'GET') return null
      const challenge = reading.headers.only('x-okta-verification-challenge')
      const given = reading.headers.only(context.option('header')?.toLowerCase() ?? 'authorization')
      if (given === null || (given !== undefined && !knowsSecret(context, given)))
        return reject('wrong-token')
      if (typeof challenge !== 'string' || challenge === '' || challenge.length > ECHO_MAX) {
        return reject('challenge-refused')
      }
      return jsonAnswer('okta-verification', { verification: challenge })
    },
  },
  /** X-Hook-Secret offers the secret, while the call that creates the webhook is still open (H2). */
  asana: {
    proof: [HOOK_SECRET],
    greet(reading, context) {
      const offer = reading.headers.only(HOOK_SECRET)
      if (offer === undefined) return null
      const answer = emptyAnswer('asana-hook-secret', 200, { [HOOK_SECRET]: offer ?? '' })
      return offeredSecret(context, offer, answer)
    },
  },
  /** POST {"challenge": …}, echoed as JSON (H3). */
  monday: {
    greet(reading) {
      const body = reading.request.body.length > 4096 ? null : bodyObject(reading)
      if (body === null || !Object.hasOwn(body, 'challenge') || Object.hasOwn(body, 'event')) return null
      const { challenge } = body
      if (typeof challenge !== 'string' || challenge === '' || challenge.length > ECHO_MAX) {
        return reject('challenge-refused')
      }
      return jsonAnswer('monday-challenge', { challenge })
    },
  },
  /** POST {"verification_token": …}: the token becomes the secret once the operator pastes it into Notion (H2). */
  notion: {
    greet(reading, context) {
      if (reading.headers.get('x-notion-signature') !== undefined) return null
      const token = reading.request.body.length > 4096 ? undefined : bodyObject(reading)?.verification_token
      return typeof token === 'string'
        ? offeredSecret(context, token, emptyAnswer('notion-verification'))
        : null
    },
  },
  /** The creation ping: a form `webhook_id=N` without signature, which must get exactly 200. */
  woocommerce: {
    greet(reading) {
      if (reading.headers.get('x-wc-webhook-signature') !== undefined || reading.request.body.length > 64)
        return null
      return /^webhook_id=\d{1,20}$/.test(reading.request.body.toString('latin1'))
        ? emptyAnswer('woocommerce-ping')
        : null
    },
  },
  /** HEAD or GET probe of the address. */
  head: {
    greet(reading) {
      return reading.request.method === 'HEAD' ? emptyAnswer('head-probe') : null
    },
  },
  /** Marketing Cloud posts a verification key that the operator confirms by API; it signs nothing yet (H2). */
  salesforce: {
    greet(reading, context) {
      const body = reading.request.body.length > 4096 ? null : bodyObject(reading)
      const key = body?.verificationKey
      return typeof key === 'string'
        ? offeredSecret(context, key, emptyAnswer('salesforce-verification'))
        : null
    },
  },
  /** Signed, with an empty list of events: a heartbeat or a test of the address. There is nothing to publish. */
  'no-events': {
    respond(reading) {
      const events = bodyObject(reading)?.events
      return Array.isArray(events) && events.length === 0 ? emptyAnswer('no-events') : null
    },
  },
}

/** A text that X's CRC answer signs for anybody (H1). */
export function isCrcToken(text: string): boolean {
  return text.length <= 128 && /^[A-Za-z0-9_-]+$/.test(text)
}

/** The handshakes of a preset as the two hooks of a verifier, and the headers in which they hand over a secret. */
export function compileHandshakes(
  names: readonly HandshakeName[],
  context: HandshakeContext,
): {
  proof: HeaderNames
  greet?: (reading: Reading) => Challenge | Rejection | null
  respond?: (reading: Reading, authentic: Authentic) => Challenge | Rejection | null
} {
  const greets = names.flatMap(name => HANDSHAKES[name].greet ?? [])
  const responds = names.flatMap(name => HANDSHAKES[name].respond ?? [])
  return {
    proof: names.flatMap(name => HANDSHAKES[name].proof ?? []),
    ...(greets.length === 0
      ? {}
      : { greet: (reading: Reading) => first(greets, greet => greet(reading, context)) }),
    ...(responds.length === 0
      ? {}
      : {
          respond: (reading: Reading, authentic: Authentic) =>
            first(responds, respond => respond(reading, context, authentic)),
        }),
  }
}

function first<T, R>(items: readonly T[], ask: (item: T) => R | null): R | null {
  for (const item of items) {
    const answer = ask(item)
    if (answer !== null) return answer
  }
  return null
}
