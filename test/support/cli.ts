/** The real binary, as a script would call it. None outlives the test process by more than its command. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Connection } from '@sallyport/core/connection'
import { PROJECT_FOLDER } from 'sallyport/start/home'

export const BINARY = join(PROJECT_FOLDER, 'services/cli/bin/sallyport.js')

/** How a command ended. */
export interface Ended {
  /** Its exit code, or the name of the signal that ended it. */
  readonly code: number | NodeJS.Signals
  readonly stdout: string
  readonly stderr: string
}

export interface CliOptions {
  readonly env?: NodeJS.ProcessEnv
  /** A module that is loaded before the product. */
  readonly load?: string
}

/** A command that is killed after this time has hung, ms. */
const HUNG_MS = 120_000

/** The command line against a cluster, with a home of its own. */
export class Cli {
  readonly env: NodeJS.ProcessEnv

  constructor(connection: Connection, env: NodeJS.ProcessEnv = {}) {
    this.env = {
      ...process.env,
      KAFKA_BROKERS: connection.brokers.join(),
      SCHEMA_REGISTRY_URL: connection.registryUrl,
      SALLYPORT_HOME: mkdtempSync(join(tmpdir(), 'sallyport-cli-')),
      LOG_LEVEL: undefined,
      npm_lifecycle_event: undefined,
      NO_COLOR: '1',
      FORCE_COLOR: undefined,
      ...env,
    }
  }

  /** Starts a command and leaves it to the test. */
  start(args: readonly string[], { env = {}, load }: CliOptions = {}): Running {
    const loads = load === undefined ? [] : ['--import', load]
    const child = spawn(process.execPath, ['--no-warnings', ...loads, BINARY, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...this.env, ...env },
    })
    return new Running(child)
  }

  /** Runs a command to its end. */
  async run(args: readonly string[], options?: CliOptions): Promise<Ended> {
    return await this.start(args, options).ended
  }

  /** The document that a command prints with `--json`; throws where it ends otherwise than with this code. */
  async json<T>(args: readonly string[], code = 0): Promise<T> {
    const ended = await this.run([...args, '--json'])
    if (ended.code !== code) throw new Error(`${args.join(' ')} ended with ${ended.code}: ${ended.stderr}`)
    return JSON.parse(ended.stdout) as T
  }
}

/** A command that runs. */
export class Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  stdout = ''
  stderr = ''
  readonly #changed = new EventTarget()

  constructor(child: ChildProcess) {
    this.child = child
    const timer = setTimeout(() => child.kill('SIGKILL'), HUNG_MS)
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]?.setEncoding('utf8').on('data', (text: string) => {
        this[name] += text
        this.#changed.dispatchEvent(new Event('text'))
      })
    }
    this.ended = once(child, 'close').then(([code, signal]) => {
      clearTimeout(timer)
      this.#changed.dispatchEvent(new Event('text'))
      return { code: code ?? signal, stdout: this.stdout, stderr: this.stderr }
    })
  }

  /** Waits until its output, or its standard error, has a text; rejects when it ends before. */
  async prints(text: string | RegExp, on: 'stdout' | 'stderr' = 'stdout'): Promise<void> {
    while (!this[on].match(text)) {
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`it ended without printing ${text}:\n${this.stdout}\n${this.stderr}`)
      }
      await once(this.#changed, 'text')
    }
  }
}

/** The objects of a command that prints one a line. */
export function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line))
}
