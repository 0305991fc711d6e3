/** Signing as a sender does, from the same row that verifies: for samples, tests and tools. */
import { createHash, createHmac } from 'node:crypto'
import { SallyportError } from '@sallyport/core/errors'
import { HeaderList } from '../delivery.ts'
import { compileSource, type SourceSettings } from '../sources.ts'
import { SchemeContext } from './context.ts'
import { fetchText } from './fetch.ts'
import type { IndexedKey } from './keys.ts'
import { Reading } from './reading.ts'
import type { Scheme } from './scheme.ts'
import { compileTemplate, renderSide } from './template.ts'
import type { TimeUnit } from './timestamp.ts'

/** What is to be signed. */
export interface SignRequest {
  readonly body: Buffer
  /** The sender's clock, ms since the epoch. A time that stands in the body is the caller's to write. */
  readonly nowMs: number
  /** The URL as registered at the sender. Default: the source's `url`. */
  readonly url?: string
  readonly method?: string
  /** Headers of the delivery that the signature covers, such as `webhook-id`; they are returned as well. */
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * The headers that make a request one of the source's sender. Throws `SP_SETTINGS` for a scheme with a private key
 * or with code of its own: only rows of HMACs, tokens and passwords can sign here.
 */
export function sign(name: string, settings: SourceSettings, request: SignRequest): Record<string, string> {
  const { row } = compileSource(name, settings)
  const [key] =
    row === null ? [] : new SchemeContext(name, keySettings(settings), fetchText).keys(row.secretEncoding)
  if (row === null || key === undefined) throw cannotSign(name)
  const headers: Record<string, string> = { ...request.headers }
  if (row.algorithm === 'token') return { ...headers, [row.header]: (row.prefix ?? '') + key.text }
  if (row.algorithm === 'basic') {
    const credentials = Buffer.from(`${String(settings.username)}:${key.text}`, 'utf8').toString('base64')
    return { ...headers, [row.header]: `Basic ${credentials}` }
  }
  const time = row.timestamp === undefined ? '' : timeText(request.nowMs, row.timestamp.unit)
  const at = row.timestamp?.at
  if (at !== undefined && at !== 'list' && !at.startsWith('$')) headers[at] = time
  const signature = (row.prefix ?? '') + signatureOf(name, row, key, time, headers, settings.url, request)
  return { ...headers, [row.header]: row.list === undefined ? signature : listed(row.list, time, signature) }
}

function keySettings({ secrets, secretEncoding }: SourceSettings) {
  return {
    ...(secrets === undefined ? {} : { secrets }),
    ...(secretEncoding === undefined ? {} : { secretEncoding }),
  }
}

function cannotSign(name: string): SallyportError {
  return new SallyportError(
    'SP_SETTINGS',
    `the scheme of ${name} cannot be signed here: only rows of HMACs, tokens and passwords can; use the sender's own tools`,
  )
}

function signatureOf(
  name: string,
  row: Scheme,
  key: IndexedKey,
  time: string,
  headers: Readonly<Record<string, string>>,
  url: string | undefined,
  { body, nowMs, method, url: own }: SignRequest,
): string {
  const template = compileTemplate(row.signed ?? '{body}', 'scheme.signed')
  const raw = Object.entries(headers).flat()
  const request = { method: method ?? 'POST', url: own ?? url ?? '', headers: new HeaderList(raw), body }
  const reading = new Reading(request, own ?? url, nowMs)
  const [before, after] = [template.before, template.after].map(side =>
    renderSide(side, reading, time, key.text),
  )
  if (typeof before !== 'string')
    throw new SallyportError('SP_SETTINGS', `${name} cannot be signed: ${before?.detail}`)
  if (typeof after !== 'string')
    throw new SallyportError('SP_SETTINGS', `${name} cannot be signed: ${after?.detail}`)
  const mac = row.algorithm === 'sha256' ? createHash('sha256') : hmacOf(name, row, key)
  mac.update(before)
  if (template.body) mac.update(body)
  return mac.update(after).digest(row.encoding ?? 'hex')
}

function hmacOf(name: string, row: Scheme, key: IndexedKey) {
  const hash = /^hmac-(sha\d+)$/.exec(row.algorithm)?.[1]
  if (hash === undefined) throw cannotSign(name)
  return createHmac(hash, key.key)
}

function timeText(nowMs: number, unit: TimeUnit): string {
  if (unit === 'ms') return String(nowMs)
  return unit === 'rfc3339' ? new Date(nowMs).toISOString() : String(Math.floor(nowMs / 1000))
}

function listed(list: NonNullable<Scheme['list']>, time: string, signature: string): string {
  const element = `${list.label}${list.assign}${signature}`
  return list.timestamp === undefined
    ? element
    : `${list.timestamp}${list.assign}${time}${list.separator}${element}`
}
