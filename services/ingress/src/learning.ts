/**
 * Learning the secret that a source's sender hands over in its handshake (Asana, Notion, Salesforce).
 *
 *     opened by an operator → offered in a handshake → record in the topic → read back → first? → secret of the source
 *
 * What an operator opened and what was learnt lies in `sallyport.source-secrets`, sealed. Every ingress folds that topic,
 * so that all agree, whichever took the handshake, and one that starts later comes to the same. A handshake is answered
 * only when its record was read back as the one that counts.
 */
import { hash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '@sallyport/core/clock'
import { errorMessage } from '@sallyport/core/errors'
import type { Log } from '@sallyport/core/log'
import type { SealingKeys } from '@sallyport/core/sealing'
import type { SourceSecretLog } from '@sallyport/core/source-secret-log'
import { type LearningWindow, ownerOf, SourceSecrets, sourceSecret } from '@sallyport/core/source-secrets'
import { Networks } from './networks.ts'
import { equalAscii } from './schemes/compare.ts'

/** How long it waits before it reads the topic again after a failure, ms. */
const RETRY_MS = 1_000

/** A handshake that offers a secret, as far as it matters whether it may. */
export interface Offer {
  readonly secret: string
  /** `?learn=` of the URL that was called; null where it has none. */
  readonly nonce: string | null
  /** Where it comes from, as trusted proxies vouch; null where that cannot be told. */
  readonly address: string | null
}

/**
 * - `learnt`: answer the handshake
 * - `closed`: no operator opened a time that this offer fits, or another one was first; refuse it as any stranger's
 */
export type LearningOutcome = 'learnt' | 'closed'

/** The secrets that sources have learnt, by source, the newest first. */
export type LearntSecrets = ReadonlyMap<string, readonly string[]>

export interface LearningParts {
  readonly topic: Pick<SourceSecretLog, 'append' | 'follow'>
  /** The sources that learn, as they are now. */
  readonly sources: () => Iterable<string>
  readonly keys: () => SealingKeys | undefined
  /** Called with everything that was learnt whenever it changes, before the handshake is answered. */
  readonly onLearnt: (secrets: LearntSecrets) => void
  readonly clock: Clock
  readonly log: Log
  /** How long a handshake may wait until its record was read back, ms. */
  readonly timeoutMs: number
}

export class Learning {
  readonly #parts: LearningParts
  readonly #offers = new Map<string, Promise<unknown>>()
  readonly #waiting = new Set<() => void>()
  #state = new SourceSecrets()
  #end = -1
  #told = ''

  constructor(parts: LearningParts) {
    this.#parts = parts
  }

  /** Whether the topic was read to the end that it had: until then nobody can say which secrets there are. */
  get known(): boolean {
    return this.#end >= 0
  }

  /** Reads the topic until `signal` aborts; while it cannot be read, what was known last holds. */
  async follow(signal: AbortSignal): Promise<void> {
    const { topic, log } = this.#parts
    while (!signal.aborted) {
      try {
        await topic.follow(signal, (state, end) => this.#take(state, end))
      } catch (error) {
        log.warn({ error: errorMessage(error) }, 'the learnt secrets cannot be read; trying again')
      }
      await sleep(RETRY_MS, undefined, { signal }).catch(() => {})
    }
  }

  /** Tells anew what is learnt, after the sources or the sealing keys have changed. */
  refresh(): void {
    if (!this.known) return
    this.#told = ''
    this.#tell()
  }

  /** Learns a source's secret, if an operator lets it. One offer at a time: the next finds the window closed. */
  async learn(source: string, offer: Offer): Promise<LearningOutcome> {
    if (this.#windowFor(source, offer) === undefined) return 'closed'
    const before = this.#offers.get(source) ?? Promise.resolve()
    const mine = before.catch(() => {}).then(() => this.#offer(source, offer))
    this.#offers.set(source, mine)
    return await mine
  }

  /** Throws what the topic throws, and when the record is not read back in time. */
  async #offer(source: string, offer: Offer): Promise<LearningOutcome> {
    const { topic, keys, log } = this.#parts
    const window = this.#windowFor(source, offer)
    const sealing = keys()
    if (window === undefined || sealing === undefined) return 'closed'
    const sealed = sealing.seal(offer.secret, ownerOf({ source, window: window.id }))
    const record = sourceSecret({ source, step: 'LEARNT', window: window.id, ...sealed })
    const offset = await topic.append(record)
    await this.#read(offset)
    const isFirst = this.#state.learnt(source).some(learnt => learnt.offset === offset)
    log.info({ source, window: window.id, isFirst }, "the sender's secret was offered")
    return isFirst ? 'learnt' : 'closed'
  }

  /** The open window that an offer fits. */
  #windowFor(source: string, { nonce, address }: Offer): LearningWindow | undefined {
    const window = this.#state.window(source)
    if (window?.state !== 'open' || this.#parts.clock() > window.untilMs) return undefined
    if (window.nonceHash !== null && !equalAscii(hash('sha256', nonce ?? '', 'hex'), window.nonceHash))
      return undefined
    const isFrom = window.from.length === 0 || isAmong(address, window.from)
    return isFrom && (window.nonceHash !== null || window.from.length > 0) ? window : undefined
  }

  /** Resolves when the topic was read through an offset; rejects after a while. */
  async #read(offset: number): Promise<void> {
    const deadline = performance.now() + this.#parts.timeoutMs
    while (this.#end <= offset) {
      const left = deadline - performance.now()
      if (left <= 0) throw new Error('the record was not read back in time')
      await new Promise<void>(resolve => {
        const done = (): void => {
          clearTimeout(timer)
          this.#waiting.delete(done)
          resolve()
        }
        const timer = setTimeout(done, left)
        this.#waiting.add(done)
      })
    }
  }

  #take(state: SourceSecrets, end: number): void {
    this.#state = state
    this.#end = end
    this.#tell()
    for (const wake of [...this.#waiting]) wake()
  }

  #tell(): void {
    const secrets = new Map<string, readonly string[]>()
    for (const source of this.#parts.sources()) secrets.set(source, this.#secretsOf(source))
    const text = JSON.stringify([...secrets])
    if (text === this.#told) return
    this.#told = text
    this.#parts.onLearnt(secrets)
  }

  #secretsOf(source: string): readonly string[] {
    const { keys, log } = this.#parts
    return this.#state.learnt(source).flatMap(learnt => {
      const secret = keys()?.open(learnt, ownerOf(learnt))
      if (secret !== undefined) return secret
      log.error({ source, keyId: learnt.keyId }, 'no key of ingress.sealingKeys opens a learnt secret')
      return []
    })
  }
}

function isAmong(address: string | null, networks: readonly string[]): boolean {
  return address !== null && new Networks(networks, 'from').includes(address)
}
