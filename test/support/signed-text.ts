/** Rows as texts: what a row signs of a request, the signature of any text, and every request that a text could be of. */
import {
  createHash,
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto'
import type { RawRequest } from '@sallyport/ingress/delivery'
import { isHost } from '@sallyport/ingress/host'
import { secretKeys } from '@sallyport/ingress/schemes/encoding'
import { listPresets } from '@sallyport/ingress/schemes/presets'
import type { Scheme } from '@sallyport/ingress/schemes/scheme'
import { compileTemplate, type Part } from '@sallyport/ingress/schemes/template'
import { readTime } from '@sallyport/ingress/schemes/timestamp'
import { compileSource, type Source, type SourceSettings } from '@sallyport/ingress/sources'
import { requestOf } from './signed-request.ts'

/** Scheme, host and path of the source that all rows stand for. */
export const BASE = 'https://hooks.example.com/webhooks/test'
export const SECRET = 'c0ffeec0ffeec0ff'

/** A request as far as a row can sign it. Texts are Latin-1: one character for each byte. */
export interface Cut {
  readonly method: string
  readonly url: string
  readonly time: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** A row with its source, and what signs for it. */
export interface TextRow {
  readonly title: string
  readonly source: Source
  readonly scheme: Scheme
  readonly parts: readonly (Part | 'body')[]
  readonly signText: (text: string) => string
}

/** A custom row; `settings` beside its scheme. */
export function customRow(scheme: Scheme, settings: Partial<SourceSettings>): TextRow {
  const source = compileSource('test', { scheme, secrets: [SECRET], ...settings })
  const own = settings.timestamp
  const unit = typeof own === 'object' ? own.unit : 'auto'
  const timed = own === undefined ? scheme : { ...scheme, timestamp: { at: 'X-Time', unit: unit ?? 'auto' } }
  return {
    title: `${scheme.signed} ${JSON.stringify(settings)}`,
    source,
    scheme: timed,
    parts: partsOf(scheme),
    signText: signer(scheme),
  }
}

/** The rows of all presets that sign more than the body. */
export function presetRows(): TextRow[] {
  return listPresets().flatMap(({ name, scheme, needs }) => {
    if (scheme?.signed === undefined) return []
    if (needs === 'publicKeys') return [keyRow(name, scheme)]
    const source = compileSource('test', { preset: name, secrets: [SECRET] })
    return [{ title: name, source, scheme, parts: partsOf(scheme), signText: signer(scheme) }]
  })
}

function keyRow(preset: string, scheme: Scheme): TextRow {
  const isEd25519 = scheme.algorithm === 'ed25519'
  const { publicKey, privateKey } = isEd25519
    ? generateKeyPairSync('ed25519')
    : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const source = compileSource('test', { preset, publicKeys: [keyText(publicKey, scheme)] })
  const signText = (text: string) =>
    sign(isEd25519 ? null : 'sha256', Buffer.from(text, 'latin1'), privateKey).toString(
      scheme.encoding ?? 'hex',
    )
  return { title: preset, source, scheme, parts: partsOf(scheme), signText }
}

function keyText(key: KeyObject, { publicKey }: Scheme): string {
  if (publicKey?.form === 'spki') {
    return createPublicKey(key.export({ type: 'spki', format: 'pem' }))
      .export({ type: 'spki', format: 'der' })
      .toString('base64')
  }
  const raw = Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url')
  return (publicKey?.prefix ?? '') + raw.toString(publicKey?.form as 'hex' | 'base64')
}

function signer({ algorithm, secretEncoding = 'utf8', encoding = 'hex' }: Scheme): (text: string) => string {
  const [key] = secretKeys(SECRET, secretEncoding) ?? []
  return text => {
    const bytes = Buffer.from(text, 'latin1')
    if (algorithm === 'sha256') return createHash('sha256').update(bytes).digest(encoding)
    return createHmac(algorithm.slice('hmac-'.length), key as Buffer)
      .update(bytes)
      .digest(encoding)
  }
}

function partsOf({ signed = '{body}' }: Scheme): readonly (Part | 'body')[] {
  const { before, after } = compileTemplate(signed, 'signed')
  return [...before, 'body', ...after]
}

/** The text that a row signs of a request. */
export function textOf({ parts }: TextRow, cut: Cut): string {
  return parts.map(part => partValue(part, cut)).join('')
}

function partValue(part: Part | 'body', cut: Cut): string {
  if (part === 'body') return cut.body
  if (part.kind === 'literal') return part.text
  if (part.kind === 'header') return cut.headers[part.name] ?? ''
  if (part.name === 'secret') return SECRET
  return part.name === 'timestamp' ? cut.time : part.name === 'url' ? cut.url : cut.method
}

/** The request of a cut under a signature. */
export function requestOfCut({ scheme, parts }: TextRow, cut: Cut, signature: string): RawRequest {
  const { header, list, prefix = '', timestamp } = scheme
  const headers: Record<string, string> = { ...cut.headers }
  const element = list === undefined ? prefix + signature : `${list.label}${list.assign}${signature}`
  const time =
    list?.timestamp === undefined ? '' : `${list.timestamp}${list.assign}${cut.time}${list.separator}`
  headers[header] = time + element
  if (timestamp !== undefined && timestamp.at !== 'list') headers[timestamp.at] = cut.time
  const hasUrl = parts.some(part => part !== 'body' && part.kind === 'placeholder' && part.name === 'url')
  return requestOf({
    method: cut.method,
    url: hasUrl ? cut.url : BASE,
    headers,
    body: Buffer.from(cut.body, 'latin1'),
  })
}

/**
 * The requests that a text could be of and that a listener lets through, in an order of `choose`'s making, at most
 * `cutsMax`. The URL's scheme, host and path are this source's unless `anyHost`.
 */
export function cutsOf(
  row: TextRow,
  text: string,
  choose: (ends: number[]) => number[],
  cutsMax: number,
  anyHost: boolean,
): Cut[] {
  const cuts: Cut[] = []
  const walk = (at: number, index: number, cut: Cut): void => {
    if (cuts.length >= cutsMax) return
    const part = row.parts[index]
    if (part === undefined) {
      if (at === text.length) cuts.push(cut)
      return
    }
    const isLast = index === row.parts.length - 1
    for (const end of isLast ? [text.length] : choose(endsOf(row, part, text, at, anyHost))) {
      const value = text.slice(at, end)
      if (isLast && !endsOf(row, part, text, at, anyHost).includes(end)) continue
      walk(end, index + 1, withValue(cut, part, value))
    }
  }
  walk(0, 0, { method: 'POST', url: BASE, time: '', headers: {}, body: '' })
  return cuts
}

function withValue(cut: Cut, part: Part | 'body', value: string): Cut {
  if (part === 'body') return { ...cut, body: value }
  if (part.kind === 'header') return { ...cut, headers: { ...cut.headers, [part.name]: value } }
  if (part.kind === 'literal' || part.name === 'secret') return cut
  return part.name === 'timestamp' ? { ...cut, time: value } : { ...cut, [part.name]: value }
}

/** Where a part that begins at a place of the text could end. */
function endsOf(
  { scheme, source }: TextRow,
  part: Part | 'body',
  text: string,
  at: number,
  anyHost: boolean,
): number[] {
  const rest = text.length - at
  const ends = (matches: (value: string) => boolean, least = 1) =>
    Array.from({ length: Math.max(0, rest - least + 1) }, (_, i) => at + least + i).filter(end =>
      matches(text.slice(at, end)),
    )
  const exactly = (values: readonly string[]) =>
    values.filter(value => text.startsWith(value, at)).map(({ length }) => at + length)
  if (part === 'body') return ends(() => true, 0)
  if (part.kind === 'literal') return exactly([part.text])
  if (part.kind === 'header')
    return ends(value => /^[\x21-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\xff])?$/.test(value))
  if (part.name === 'secret') return exactly([SECRET])
  if (part.name === 'method') return exactly([...source.methods])
  if (part.name === 'timestamp')
    return ends(value => value.length <= 40 && readTime(value, scheme.timestamp?.unit ?? 's') !== null)
  if (source.url !== undefined) return exactly([source.url])
  return ends(value => isCallable(value, anyHost))
}

/** Whether a listener would make this URL of a request to the source. */
function isCallable(url: string, anyHost: boolean): boolean {
  const [, base = '', host = ''] =
    /^(https?:\/\/([^/]*)\/webhooks\/test)(?:\?[\x21\x22\x24-\x7e]*)?$/.exec(url) ?? []
  return anyHost ? isHost(host) : base === BASE
}
