/** One Ctrl-C reaches us from the terminal, from npm and from the launcher: repeats within this time are one. */
const REPEAT_MS = 700
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * The user's wish to stop. The first signal asks: everything ends in order. The second one insists: the process
 * ends at once, and the guards end its children.
 */
export class StopRequest {
  readonly #asked = new AbortController()
  readonly #onInsist: () => void
  #askedAt = 0

  constructor(onAsk: () => void, onInsist: () => void) {
    this.#onInsist = onInsist
    this.#asked.signal.addEventListener('abort', onAsk, { once: true })
    for (const signal of SIGNALS) process.on(signal, () => this.#receive())
  }

  /** Aborted once the user has asked. */
  get signal(): AbortSignal {
    return this.#asked.signal
  }

  /** Resolves once the user has asked. */
  get asked(): Promise<void> {
    return new Promise(resolve => {
      if (this.signal.aborted) resolve()
      else this.signal.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  /** The outcome of something that takes long, or a rejection as soon as the user has asked. */
  async cut<T>(work: Promise<T>): Promise<T> {
    work.catch(() => {})
    return await Promise.race([work, this.asked.then(() => Promise.reject(this.signal.reason))])
  }

  #receive(): void {
    const now = performance.now()
    if (!this.signal.aborted) {
      this.#askedAt = now
      this.#asked.abort()
    } else if (now - this.#askedAt > REPEAT_MS) {
      this.#onInsist()
    }
  }
}
