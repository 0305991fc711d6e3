import type { IncomingMessage } from 'node:http'
import type { Caller } from './caller.ts'
import { onlyField, parseForm, queryOf } from './schemes/form.ts'

const WEBHOOKS = '/webhooks/'

/** Scheme and authority of an absolute request target (RFC 9112, 3.2.2). */
const AUTHORITY = /^https?:\/\/[^/?#]*/i

/** The path of a request target as it was written, without query; of an absolute one as well. Empty where it has none. */
export function pathOf(target: string): string {
  const own = originForm(target)
  const query = own.indexOf('?')
  return query === -1 ? own : own.slice(0, query)
}

/** Path and query, unchanged: a URL parser would make `/webhooks/crm` of `/private/../webhooks/crm`. */
function originForm(target: string): string {
  if (target.startsWith('/')) return target
  const authority = AUTHORITY.exec(target)?.[0]
  return authority === undefined ? '' : target.slice(authority.length)
}

/** The name in `/webhooks/:source`, or undefined for every other path. Nothing is decoded or normalised. */
export function sourceOf(path: string): string | undefined {
  return path.startsWith(WEBHOOKS) ? path.slice(WEBHOOKS.length) : undefined
}

/** The absolute URL as the sender called it; `publicUrl` replaces scheme and host where they differ from what arrives. */
export function urlOf(req: IncomingMessage, caller: Caller, publicUrl: string | undefined): string {
  return (publicUrl ?? `${caller.secure ? 'https' : 'http'}://${caller.host}`) + originForm(req.url ?? '/')
}

/** The value of `?learn=` in a request target: what an operator was given to put into the address at the sender. */
export function nonceOf(target: string): string | null {
  const query = parseForm(queryOf(target))
  return query === null ? null : onlyField(query, 'learn')
}
