/** A processor as a process of its own, as in production, so that it can be killed; its log is kept. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Connection } from '@sallyport/core/connection'

const CLI = fileURLToPath(new URL('../../services/cli/src/main.ts', import.meta.url))

export type LogLine = Readonly<Record<string, unknown>>

/** How many lines a failed test shows of each of its processes. */
const LINES_SHOWN = 40

let started: ProcessorProcess[] = []

/** Of each process that was started since the last call: what it logged last, attempts left out, for people. */
export function lastWords(): string[] {
  const told = started.map(({ lines }, i) => {
    const last = lines.filter(({ level, msg }) => level !== 'debug' && msg !== 'retry').slice(-LINES_SHOWN)
    return [`process ${i + 1} of this test logged last:`, ...last.map(line => JSON.stringify(line))].join(
      '\n',
    )
  })
  started = []
  return told
}

export class ProcessorProcess {
  readonly lines: LogLine[] = []
  readonly #child: ChildProcess
  #waiting: (() => void)[] = []

  /** Starts all processors of a settings file; `more` are options of the command. */
  constructor(
    connection: Connection,
    config: string,
    env: Readonly<Record<string, string>>,
    more: readonly string[] = [],
  ) {
    const args = ['--no-warnings', CLI, 'processor', '--config', config, ...more]
    this.#child = spawn(process.execPath, args, {
      env: {
        ...process.env,
        KAFKA_BROKERS: connection.brokers.join(','),
        SCHEMA_REGISTRY_URL: connection.registryUrl,
        LOG_LEVEL: 'debug',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', line => {
      if (line.startsWith('{')) this.lines.push(JSON.parse(line) as LogLine)
      for (const wake of this.#waiting.splice(0)) wake()
    })
    started.push(this)
  }

  /** Waits until this many lines say `msg`, and returns them; the test's time-out is the limit. */
  async said(msg: string, count: number): Promise<LogLine[]> {
    while (true) {
      const found = this.lines.filter(line => line.msg === msg)
      if (found.length >= count) return found
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    }
  }

  /** Freezes it (SIGSTOP) or lets it go on (SIGCONT). */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(signal)
  }

  /** Its exit code, or the signal that ended it; null while it runs. */
  get ended(): number | NodeJS.Signals | null {
    return this.#child.exitCode ?? this.#child.signalCode
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill(signal)
    await ended
  }
}
