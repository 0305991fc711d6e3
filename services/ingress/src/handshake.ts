/** Does what a sender's handshake asks for beyond an answer: learn the secret that it offers, confirm a subscription. */
import { errorMessage } from '@sallyport/core/errors'
import type { Log } from '@sallyport/core/log'
import type { Door } from './config.ts'
import type { Learning, Offer } from './learning.ts'
import { type Problem, rejection, tryAgain } from './problem.ts'
import { type FetchText, fetchText } from './schemes/fetch.ts'
import type { Challenge } from './schemes/handshakes.ts'
import { reject } from './schemes/rejections.ts'

export interface HandshakeParts {
  readonly learning: Pick<Learning, 'learn'>
  readonly log: Log
  readonly retryAfterMs: number
  /** Gets the address that confirms a subscription. */
  readonly fetchText?: FetchText | undefined
}

/** Undefined when everything is done and the challenge's answer may be given; else why not. */
export async function completeHandshake(
  challenge: Challenge,
  door: Door,
  caller: Omit<Offer, 'secret'>,
  { learning, log, retryAfterMs, fetchText: fetch = fetchText }: HandshakeParts,
): Promise<Problem | undefined> {
  const { name } = door.source
  try {
    if (challenge.confirmUrl !== undefined) {
      await fetch(challenge.confirmUrl)
      log.info({ source: name }, 'a subscription is confirmed')
    }
    const secret = challenge.storesSecret
    if (secret === undefined) return undefined
    const outcome = door.usable(secret) ? await learning.learn(name, { secret, ...caller }) : 'closed'
    if (outcome === 'learnt') return undefined
    const { status, code, detail } = reject('secret-not-expected')
    return rejection(status, code, detail)
  } catch (error) {
    log.error({ source: name, code: challenge.code, error: reasonOf(error, challenge) }, 'a handshake failed')
    return tryAgain('handshake-failed', 'Start the handshake again.', retryAfterMs)
  }
}

/** Why it failed, for the log: the address that confirms a subscription holds its token, so the host stands for it. */
function reasonOf(error: unknown, { confirmUrl }: Challenge): string {
  const message = errorMessage(error)
  return confirmUrl === undefined ? message : message.replaceAll(confirmUrl, new URL(confirmUrl).host)
}
