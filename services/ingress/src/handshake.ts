/** Does what a sender's handshake asks for beyond an answer: keep the secret that it offers, confirm a subscription. */
import { errorMessage } from '@sallyport/core/errors'
import type { Log } from '@sallyport/core/log'
import type { Door } from './config.ts'
import { type Problem, rejection, tryAgain } from './problem.ts'
import { type FetchText, fetchText } from './schemes/fetch.ts'
import type { Challenge } from './schemes/handshakes.ts'
import { storeSecret } from './secret-store.ts'

/**
 * Undefined when everything is done and the challenge's answer may be given; else why not. `secretStored` is called
 * after a secret was stored: only with it can the source verify. `fetch` gets the address that confirms a subscription.
 */
export async function completeHandshake(
  challenge: Challenge,
  door: Door,
  secretStored: () => void,
  retryAfterMs: number,
  log: Log,
  fetch: FetchText = fetchText,
): Promise<Problem | undefined> {
  const { name } = door.source
  try {
    if (challenge.confirmUrl !== undefined) {
      await fetch(challenge.confirmUrl)
      log.info({ source: name }, 'a subscription is confirmed')
    }
    if (challenge.storesSecret === undefined) return undefined
    if (door.secretStore === null || !storeSecret(door.secretStore, challenge.storesSecret)) {
      return rejection(403, 'secret-already-stored', 'This source has its secret already.')
    }
    log.info({ source: name, file: door.secretStore }, "the sender's secret is stored")
    secretStored()
    return undefined
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
