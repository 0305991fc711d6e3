import type { IncomingMessage } from 'node:http'
import type { Caller } from './caller.ts'

const WEBHOOKS = '/webhooks/'

/** The path of a request target, without query; of an absolute one as well (RFC 9112, 3.2.2). */
export function pathOf(target: string): string {
  if (!target.startsWith('/')) return URL.canParse(target) ? new URL(target).pathname : ''
  const query = target.indexOf('?')
  return query === -1 ? target : target.slice(0, query)
}

/** The name in `/webhooks/:source`, or undefined for every other path. Nothing is decoded or normalised. */
export function sourceOf(path: string): string | undefined {
  return path.startsWith(WEBHOOKS) ? path.slice(WEBHOOKS.length) : undefined
}

/** The absolute URL as the sender called it; `publicUrl` replaces scheme and host where they differ from what arrives. */
export function urlOf(req: IncomingMessage, caller: Caller, publicUrl: string | undefined): string {
  const target = req.url ?? '/'
  const path = target.startsWith('/') ? target : target.replace(/^[^:]*:\/\/[^/]*/, '')
  return (publicUrl ?? `${caller.secure ? 'https' : 'http'}://${caller.host}`) + path
}
