/**
 * What a stranger is told of a refusal. The whole reason says how a sender proves itself: which header, which form, how
 * old a time may be. It goes to the log, and to those who call from the same machine.
 */
import type { IncomingMessage } from 'node:http'
import type { IngressSettings } from '@sallyport/core/settings'
import type { Problem } from './problem.ts'

/** Names that a proxy adds: whoever is behind it is not from this machine. */
const FORWARDED = ['forwarded', 'via', 'x-forwarded-for', 'x-real-ip']

/** Codes of refusals other than 401 that are given before anything is proven. */
const UNPROVEN: ReadonlySet<string> = new Set(['malformed-body', 'challenge-refused', 'unreadable'])

const NO_PROOF =
  'Nothing here proves that this delivery is from the source’s sender. The operator’s log says why.'
const NO_DELIVERY = 'This is nothing that the source’s sender sends. The operator’s log says why.'

/** Whether the caller of a request may know the whole reason. `loopback`: the listener is reachable from here only. */
export function mayKnow(
  req: IncomingMessage,
  refusalDetail: IngressSettings['refusalDetail'],
  loopback: boolean,
): boolean {
  if (refusalDetail !== 'auto') return refusalDetail === 'full'
  return loopback && FORWARDED.every(name => req.headers[name] === undefined)
}

/** Codes that name a kind of scheme by themselves: only a sender with keys to fetch, or with topics, has them. */
const NAMES_SCHEME: ReadonlySet<string> = new Set(['key-unavailable', 'topic-not-allowed'])

/** The same refusal in words that are the same for every source and scheme. */
export function terse(refusal: Problem): Problem {
  if (refusal.status === 401 || NAMES_SCHEME.has(refusal.code))
    return { ...refusal, code: 'unverified', title: 'Not verified', detail: NO_PROOF }
  return UNPROVEN.has(refusal.code) ? { ...refusal, detail: NO_DELIVERY } : refusal
}
