/**
 * A service in a process of its own that is kept running.
 *
 * | the process                              | becomes                                                     |
 * |------------------------------------------|-------------------------------------------------------------|
 * | ends before it has ever done its work    | `failed`, where that is wanted; else started again          |
 * | ends without having been asked           | started again, after a pause that grows while it lives short |
 * | does not answer for `hangMs`             | killed, and started again                                   |
 * | is drained                               | asked to end, and killed when it takes too long             |
 *
 * The supervisor counts its own turns only: a machine that was stopped makes nobody late.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from '@sallyport/core/connection'
import { type Daemon, type Exit, startDaemon } from '../broker/daemon.ts'
import { exitText } from '../broker/diagnose.ts'
import { PROJECT_FOLDER } from '../start/home.ts'
import type { FromSupervised, ToSupervised } from './messages.ts'
import { SUPERVISED } from './supervised.ts'
import { WholeLines } from './whole-lines.ts'

export interface SupervisedSpec {
  /** For people and logs: `ingress`, `processor ticket-agent`. */
  readonly name: string
  /** The command line behind `sallyport`, given where it listened before; undefined at first. */
  args(url: string | undefined): readonly string[]
  readonly connection: Connection
  /** How long it may not answer, ms. */
  readonly hangMs: number
  /** How many processes share the machine's memory with it, itself included. */
  readonly sharers: number
  /** Whether it fails, and is not started again, when it ends before it has ever done its work. */
  readonly failsAtStart: boolean
  /** Take whole lines of its standard output and its standard error. */
  readonly output: (lines: string) => void
  readonly errors: (lines: string) => void
  /** Hears what becomes of it: a sentence without its name. */
  readonly say: (sentence: string) => void
}

/** What a process that was drained may take beyond its deadline: its own end, after the last transaction, ms. */
const FAREWELL_MS = 15_000
const PING_MS = 1_000
const PAUSE_MS_MIN = 1_000
const PAUSE_MS_MAX = 60_000
/** A process that did its work for this long was a good one: the next pause is short again. */
const GOOD_MS = 60_000
/** How long metrics are waited for, ms. */
const METRICS_MS = 2_000

const MAIN = join(PROJECT_FOLDER, 'services/cli/src/main.ts')

/** What keeps Node's own flags: loaders that this process was started with. */
export function sallyportCommand(args: readonly string[]): { command: string; args: readonly string[] } {
  return { command: process.execPath, args: [...process.execArgv, MAIN, ...args] }
}

export class SupervisedService {
  readonly name: string
  readonly ready: Promise<void>
  readonly failed: Promise<never>
  readonly #spec: SupervisedSpec
  readonly #ready = Promise.withResolvers<void>()
  readonly #failed = Promise.withResolvers<never>()
  readonly #stopping = new AbortController()
  readonly #kept: Promise<void>
  readonly #asked = new Map<number, (metrics: readonly object[]) => void>()
  #daemon: Daemon | undefined
  #isReady = false
  #wasReady = false
  #url: string | undefined
  #silentMs = 0
  #nextId = 0
  #exit: Exit = { code: 0, signal: null }

  constructor(spec: SupervisedSpec) {
    this.#spec = spec
    this.name = spec.name
    this.ready = this.#ready.promise
    this.failed = this.#failed.promise
    this.ready.catch(() => {})
    this.failed.catch(() => {})
    this.#kept = this.#keep().catch(this.#failed.reject)
  }

  /** Where it listens; known once it is ready. */
  get url(): string | undefined {
    return this.#url
  }

  /** Whether it does its work now. */
  get isReady(): boolean {
    return this.#isReady
  }

  /** Its metrics, as prom-client aggregates them; none while it does not answer. */
  async metrics(): Promise<readonly object[]> {
    const id = this.#nextId++
    const answered = new Promise<readonly object[]>(resolve => this.#asked.set(id, resolve))
    this.#tell({ kind: 'metrics', id })
    const late = sleep(METRICS_MS, [] as readonly object[], { ref: false })
    return await Promise.race([answered, late]).finally(() => this.#asked.delete(id))
  }

  /** Asks it to end and waits; kills it when it takes too long. Resolves with how it ended. Idempotent. */
  async drain(deadlineMs: number): Promise<Exit> {
    this.#stopping.abort()
    await this.#daemon?.stop(deadlineMs + FAREWELL_MS)
    await this.#kept
    return this.#exit
  }

  async #keep(): Promise<void> {
    let pauseMs = PAUSE_MS_MIN
    while (!this.#stopping.signal.aborted) {
      const startedAt = performance.now()
      this.#exit = await this.#runOnce()
      this.#isReady = false
      if (this.#stopping.signal.aborted) return
      const how = exitText(this.#exit)
      if (!this.#wasReady && this.#spec.failsAtStart) {
        return this.#failed.reject(new Error(`the ${this.name} ended before it did its work (${how})`))
      }
      if (performance.now() - startedAt >= GOOD_MS) pauseMs = PAUSE_MS_MIN
      this.#spec.say(`ended unasked (${how}); starting it again in ${pauseMs / 1_000} s`)
      await sleep(pauseMs, undefined, { signal: this.#stopping.signal }).catch(() => {})
      pauseMs = Math.min(pauseMs * 2, PAUSE_MS_MAX)
    }
  }

  async #runOnce(): Promise<Exit> {
    const { name, connection, output, errors } = this.#spec
    const [lines, errorLines] = [new WholeLines(output), new WholeLines(errors)]
    const daemon = await startDaemon({
      name,
      ...sallyportCommand(this.#spec.args(this.#url)),
      env: {
        KAFKA_BROKERS: connection.brokers.join(),
        SCHEMA_REGISTRY_URL: connection.registryUrl,
        [SUPERVISED]: String(this.#spec.sharers),
        npm_lifecycle_event: undefined,
      },
      log: lines,
      errors: errorLines,
      onMessage: message => this.#hear(message as FromSupervised),
    })
    this.#daemon = daemon
    // A stop that came while it was started.
    if (this.#stopping.signal.aborted) daemon.signal('SIGTERM')
    this.#silentMs = 0
    const pings = setInterval(() => this.#ping(daemon), PING_MS)
    const exit = await daemon.exited
    clearInterval(pings)
    lines.end()
    errorLines.end()
    return exit
  }

  #hear(message: FromSupervised): void {
    this.#silentMs = 0
    switch (message.kind) {
      case 'ready':
        if (this.#wasReady && !this.#isReady) this.#spec.say('is back')
        this.#isReady = true
        this.#wasReady = true
        this.#url = message.url
        this.#ready.resolve()
        return
      case 'metrics':
        this.#asked.get(message.id)?.(message.metrics)
    }
  }

  #ping(daemon: Daemon): void {
    this.#silentMs += PING_MS
    if (this.#silentMs <= this.#spec.hangMs) {
      this.#tell({ kind: 'ping' })
      return
    }
    if (daemon.ended !== undefined) return
    this.#spec.say(`does not answer for ${this.#silentMs / 1_000} s: it is killed`)
    this.#silentMs = 0
    daemon.kill()
  }

  #tell(message: ToSupervised): void {
    this.#daemon?.send(message)
  }
}
