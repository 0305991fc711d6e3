import { setTimeout as sleep } from 'node:timers/promises'
import type { Daemon } from './daemon.ts'
import { exitText } from './diagnose.ts'

/** More restarts than this within the time below mean that something is wrong that a restart does not mend. */
const RESTARTS_MAX = 3
const RESTARTS_WINDOW_MS = 600_000
/** Pause before a restart. */
const RESTART_PAUSE_MS = 500

/**
 * A daemon that is started again when it ends without having been told to: somebody killed it, or it crashed.
 * `failed` rejects when that does not help.
 */
export class KeptAlive {
  readonly failed: Promise<never>
  readonly #start: () => Promise<Daemon>
  readonly #say: (line: string) => void
  readonly #onRestarted: () => void
  #daemon: Daemon
  #stopping = false
  #restartedAt: number[] = []

  /** `start` brings up a daemon that answers; it is called for every restart too. */
  static async start(
    start: () => Promise<Daemon>,
    say: (line: string) => void,
    onRestarted: () => void = () => {},
  ): Promise<KeptAlive> {
    return new KeptAlive(await start(), start, say, onRestarted)
  }

  private constructor(
    daemon: Daemon,
    start: () => Promise<Daemon>,
    say: (line: string) => void,
    onRestarted: () => void,
  ) {
    this.#daemon = daemon
    this.#start = start
    this.#say = say
    this.#onRestarted = onRestarted
    this.failed = this.#watch()
    // Whoever cares listens; a rejection that nobody awaits must not end the process.
    this.failed.catch(() => {})
  }

  /** The daemon that runs now. */
  get daemon(): Daemon {
    return this.#daemon
  }

  /** Ends the daemon for good. Idempotent. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true
    await this.#daemon.stop(graceMs)
  }

  async #watch(): Promise<never> {
    for (;;) {
      const exit = await this.#daemon.exited
      if (this.#stopping) return await new Promise<never>(() => {})
      const name = this.#daemon.name
      const now = Date.now()
      this.#restartedAt = [...this.#restartedAt.filter(at => now - at < RESTARTS_WINDOW_MS), now]
      if (this.#restartedAt.length > RESTARTS_MAX) {
        throw new Error(`the ${name} ended again and again (${exitText(exit)})`)
      }
      this.#say(`the ${name} ended unasked (${exitText(exit)}); starting it again`)
      await sleep(RESTART_PAUSE_MS)
      if (this.#stopping) continue
      const daemon = await this.#start()
      this.#daemon = daemon
      if (this.#stopping) await daemon.stop(0)
      else {
        this.#say(`the ${name} is back`)
        this.#onRestarted()
      }
    }
  }
}
