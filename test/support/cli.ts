/** The real binary, as a script would call it. None outlives the test process by more than its command. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Connection } from '@sallyport/core/connection'
import { PROJECT_FOLDER } from 'sallyport/start/home'

const BINARY = join(PROJECT_FOLDER, 'services/cli/bin/sallyport.js')

export interface Ended {
  /** Exit code; null when a signal ended it. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly child: ChildProcess
  /** What it has written to standard error so far. */
  readonly stderr: () => string
  readonly ended: Promise<Ended>
}

export interface CliOptions {
  readonly env?: NodeJS.ProcessEnv
  /** A module that is loaded before the product. */
  readonly load?: string
}

/** A function that starts `sallyport ARGS` against a cluster. */
export function cliOf(connection: Connection): {
  start(args: readonly string[], options?: CliOptions): Running
  run(args: readonly string[], options?: CliOptions): Promise<Ended>
} {
  function start(args: readonly string[], { env = {}, load }: CliOptions = {}): Running {
    const loads = load === undefined ? [] : ['--import', load]
    const child = spawn(process.execPath, ['--no-warnings', ...loads, BINARY, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        NO_COLOR: '1',
        KAFKA_BROKERS: connection.brokers.join(','),
        SCHEMA_REGISTRY_URL: connection.registryUrl,
        ...env,
      },
    })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', text => {
      stdout += text
    })
    child.stderr.on('data', text => {
      stderr += text
    })
    const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, stdout, stderr }) as Ended)
    return { child, stderr: () => stderr, ended }
  }
  return { start, run: (args, options) => start(args, options).ended }
}

/** The objects of a command that prints one a line. */
export function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line))
}
