import { type ChildProcess, spawn } from 'node:child_process'
import type { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LogFile } from './log-file.ts'

/**
 * Child processes that cannot outlive us, not even when we die of SIGKILL.
 *
 * G1. Each child runs in a session of its own, so that a Ctrl-C in the terminal reaches us alone and the child
 *     goes on until it is told to stop, in order.
 * G2. Beside each child sits a guard: a shell that reads from a pipe whose other end only we hold. When we die,
 *     however we die, the pipe ends and the guard ends the child.
 * G3. When the child ends first, the guard is told by a line and goes without touching anything, for the
 *     child's process id may belong to another program by then.
 */
const GUARDED = `
me=$$
{ if read -r _ <&3; then :; else kill -KILL "$me" 2>/dev/null; eval "$0"; fi; } >/dev/null 2>&1 </dev/null 4<&- &
exec "$@" 3<&- </dev/null`

/** How long the output of an ended child is waited for. */
const LAST_WORDS_MS = 500

/** How a child ended. */
export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface DaemonSpec {
  /** For people: `broker`, `schema registry`. */
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  /** Added to our own environment; undefined removes a variable. */
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
  /** Takes standard output, and standard error where `errors` does not. */
  readonly log: Pick<LogFile, 'write'>
  readonly errors?: Pick<LogFile, 'write'>
  /** Hears what it sends; then it is a Node process, with a channel to this one. */
  readonly onMessage?: (message: unknown) => void
  /** A shell command that the guard runs after it has killed the child; default none. */
  readonly onOrphan?: string
  /** Ends what SIGKILL to the child leaves behind, such as a container; default nothing. */
  readonly onKill?: () => Promise<void>
}

/** One running child; see G1–G3. */
export class Daemon {
  readonly name: string
  readonly pid: number
  /** Resolves when the child has ended; never rejects. */
  readonly exited: Promise<Exit>
  readonly #child: ChildProcess
  readonly #onKill: () => Promise<void>
  #cleaned: Promise<void> | undefined
  #ended: Exit | undefined

  constructor(spec: DaemonSpec, child: ChildProcess, pid: number) {
    this.name = spec.name
    this.pid = pid
    this.#child = child
    this.#onKill = spec.onKill ?? (async () => {})
    this.exited = new Promise(resolve => {
      child.once('exit', (code, signal) => {
        const exit = { code, signal }
        this.#ended = exit
        ;(child.stdio[3] as Writable).end('\n')
        // Its last words may still be on their way; a grandchild that holds them must not keep us.
        const timer = setTimeout(() => resolve(exit), LAST_WORDS_MS)
        child.once('close', () => {
          clearTimeout(timer)
          resolve(exit)
        })
      })
    })
  }

  /** How it ended, or undefined while it runs. */
  get ended(): Exit | undefined {
    return this.#ended
  }

  /** Sends a signal to the child alone; nothing happens when it has ended. */
  signal(signal: NodeJS.Signals): void {
    if (this.#ended === undefined) this.#child.kill(signal)
  }

  /** Sends it a message, if it can hear one. */
  send(message: object): void {
    if (this.#child.connected) this.#child.send(message, () => {})
  }

  /** Ends the child at once and does not wait. */
  kill(): void {
    this.signal('SIGKILL')
    this.#cleaned ??= this.#onKill()
    this.#cleaned.catch(() => {})
  }

  /** Asks the child to end, kills it after `graceMs`, and waits until it has ended. Idempotent. */
  async stop(graceMs: number): Promise<Exit> {
    this.signal('SIGTERM')
    const given = new AbortController()
    const late = sleep(graceMs, 'late' as const, { signal: given.signal }).catch(() => 'late' as const)
    if ((await Promise.race([this.exited, late])) === 'late') this.kill()
    given.abort()
    const exit = await this.exited
    await this.#cleaned
    return exit
  }
}

/** Starts a child under a guard. Rejects when the command cannot be run at all. */
export async function startDaemon(spec: DaemonSpec): Promise<Daemon> {
  const child = spawn('/bin/sh', ['-c', GUARDED, spec.onOrphan ?? ':', spec.command, ...spec.args], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', ...(spec.onMessage === undefined ? [] : (['ipc'] as const))],
    env: { ...process.env, ...spec.env },
    ...(spec.cwd === undefined ? {} : { cwd: spec.cwd }),
  })
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', reject)
  })
  child.stdout?.setEncoding('utf8').on('data', (text: string) => spec.log.write(text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (spec.errors ?? spec.log).write(text))
  if (spec.onMessage !== undefined)
    child.on('message', spec.onMessage)
    // The guard's end of the pipe may be gone before ours.
  ;(child.stdio[3] as Writable).on('error', () => {})
  return new Daemon(spec, child, child.pid as number)
}

/** What a command that runs to its end left. */
export interface Finished extends Exit {
  /** Standard output and standard error together. */
  readonly output: string
  /** True when it was killed because the time was up. */
  readonly late: boolean
}

/**
 * Runs a command to its end under a guard. `timeoutMs` kills it; the signal kills it and rejects with the
 * signal's reason. A command that does not exist ends with code 127.
 */
export async function runToEnd(
  command: string,
  args: readonly string[],
  options: { timeoutMs?: number; signal?: AbortSignal; env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Promise<Finished> {
  options.signal?.throwIfAborted()
  let output = ''
  const daemon = await startDaemon({
    name: command,
    command,
    args,
    log: {
      write: text => {
        output += text
      },
    },
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  let late = false
  const kill = () => daemon.kill()
  options.signal?.addEventListener('abort', kill, { once: true })
  if (options.signal?.aborted) kill()
  const timer =
    options.timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          late = true
          daemon.kill()
        }, options.timeoutMs)
  const exit = await daemon.exited
  clearTimeout(timer)
  options.signal?.removeEventListener('abort', kill)
  options.signal?.throwIfAborted()
  return { ...exit, output, late }
}
