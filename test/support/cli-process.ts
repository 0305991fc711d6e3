/** Runs the real binary. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PROJECT_FOLDER } from 'sallyport/start/home'

/** How a command ended. */
export interface Ended {
  /** Its exit code, or the name of the signal that ended it. */
  readonly code: number | NodeJS.Signals
  readonly stdout: string
  readonly stderr: string
}

/** A command that is killed after this time has hung, ms. */
const HUNG_MS = 120_000

/** The command line with an environment of its own. */
export class Cli {
  readonly #env: NodeJS.ProcessEnv

  constructor(
    connection: { readonly brokers: readonly string[]; readonly registryUrl: string },
    home = newHome(),
  ) {
    this.#env = {
      ...process.env,
      KAFKA_BROKERS: connection.brokers.join(),
      SCHEMA_REGISTRY_URL: connection.registryUrl,
      SALLYPORT_HOME: home,
      LOG_LEVEL: undefined,
      npm_lifecycle_event: undefined,
      NO_COLOR: '1',
      FORCE_COLOR: undefined,
    }
  }

  /** Starts a command and leaves it to the test. */
  spawn(...args: readonly string[]): Running {
    const binary = join(PROJECT_FOLDER, 'services/cli/bin/sallyport.js')
    return new Running(spawn(process.execPath, [binary, ...args], { env: this.#env }))
  }

  /** Runs a command to its end. */
  async run(...args: readonly string[]): Promise<Ended> {
    return await this.spawn(...args).ended
  }

  /** The document that a command prints with `--json`; throws where it ends otherwise than with this code. */
  async json<T>(code: number, ...args: readonly string[]): Promise<T> {
    const ended = await this.run(...args, '--json')
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

  /** Waits until its standard output has a text; rejects when it ends before. */
  async prints(text: string | RegExp): Promise<void> {
    while (!this.stdout.match(text)) {
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`it ended without printing ${text}:\n${this.stdout}\n${this.stderr}`)
      }
      await once(this.#changed, 'text')
    }
  }
}

function newHome(): string {
  return mkdtempSync(join(tmpdir(), 'sallyport-cli-'))
}
