import { SallyportError } from '@sallyport/core/errors'
import type { SecretEncoding, TextEncoding } from './encoding.ts'
import type { Algorithm, ListSyntax, Scheme } from './scheme.ts'
import { compileTemplate } from './template.ts'

/** Checking a row that somebody wrote in settings: what would let forgeries in is refused, not only what is misspelt. */

const ALGORITHMS: readonly Algorithm[] = [
  'hmac-sha1',
  'hmac-sha256',
  'hmac-sha384',
  'hmac-sha512',
  'sha256',
  'ed25519',
  'ecdsa-p256-sha256',
  'rsa-sha256',
  'token',
  'basic',
]
const ENCODINGS: readonly TextEncoding[] = ['hex', 'base64', 'base64url']
const SECRETS: readonly SecretEncoding[] = [
  'utf8',
  'hex',
  'base64',
  'whsec',
  'whsec-or-utf8',
  'utf8-or-base64',
  'nfkd',
]
const HEADER = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}$/
const MEMBERS = new Set([
  'header',
  'algorithm',
  'signed',
  'encoding',
  'prefix',
  'list',
  'secretEncoding',
  'publicKey',
  'changesOnRetry',
])

/** A custom row, whole and safe; throws `SP_SETTINGS` naming the setting. */
export function checkRow(source: string, row: Partial<Scheme>): Scheme {
  const refuse = (setting: string, words: string) =>
    new SallyportError('SP_SETTINGS', `sources.${source}.scheme.${setting} ${words}`)
  const oneOf = (setting: keyof Scheme, value: unknown, known: readonly unknown[]) => {
    if (value !== undefined && !known.includes(value))
      throw refuse(setting, `must be one of ${known.join(', ')}`)
  }
  if (typeof row !== 'object' || row === null)
    throw refuse('', 'must say how the sender signs: header and algorithm')
  for (const name of Object.keys(row)) {
    if (!MEMBERS.has(name))
      throw refuse(name, `is no part of a scheme: its parts are ${[...MEMBERS].join(', ')}`)
  }
  const { header, algorithm } = row
  if (typeof header !== 'string' || !HEADER.test(header))
    throw refuse('header', 'is required: the name of the signature header')
  if (algorithm === undefined) throw refuse('algorithm', `is required: one of ${ALGORITHMS.join(', ')}`)
  oneOf('algorithm', algorithm, ALGORITHMS)
  oneOf('encoding', row.encoding, ENCODINGS)
  oneOf('secretEncoding', row.secretEncoding, SECRETS)
  if (row.prefix !== undefined && typeof row.prefix !== 'string') throw refuse('prefix', 'must be a text')
  if (row.changesOnRetry?.some(name => !/^[A-Za-z0-9_-]+$/.test(name)) === true) {
    throw refuse('changesOnRetry', 'must be names of members of the body')
  }
  checkList(row.list, words => refuse('list', words))
  if (algorithm !== 'token' && algorithm !== 'basic') {
    const template = compileTemplate(
      row.signed ?? (algorithm === 'sha256' ? '{secret}{body}' : '{body}'),
      `sources.${source}.scheme.signed`,
    )
    if (!template.body) throw refuse('signed', 'must hold {body}, or anybody could alter the body')
    if (template.secret !== (algorithm === 'sha256')) {
      throw refuse(
        'signed',
        algorithm === 'sha256' ? 'must hold {secret}, or anybody could sign' : 'must not hold {secret}',
      )
    }
  }
  const signed = row.signed ?? (algorithm === 'sha256' ? '{secret}{body}' : undefined)
  return { ...row, header, algorithm, ...(signed === undefined ? {} : { signed }) }
}

function checkList(list: ListSyntax | undefined, refuse: (words: string) => SallyportError): void {
  if (list === undefined) return
  const { separator, assign, label } = list
  if (![',', ';', ' '].includes(separator)) throw refuse('needs separator: a comma, a semicolon or a blank')
  if (!['=', ','].includes(assign) || assign === separator)
    throw refuse('needs assign: = or a comma, other than separator')
  if (typeof label !== 'string' || label === '') throw refuse('needs label: the one before each signature')
}
