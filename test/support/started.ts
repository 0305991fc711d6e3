import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type DevFile, readDevFile } from 'sallyport/start/dev-file'
import { PROJECT_FOLDER } from 'sallyport/start/home'

/** A real `sallyport start`, as a child of the tests. */
export class Started {
  readonly child: ChildProcess
  readonly #home: string
  readonly #exited: Promise<number | string>
  #output = ''

  /** Starts it with a home of its own, on the local JVM unless `env` says otherwise, on free ports. */
  constructor(home: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}) {
    this.#home = home
    this.child = spawn(
      process.execPath,
      [
        join(PROJECT_FOLDER, 'services/cli/bin/sallyport.js'),
        'start',
        '--broker-port=0',
        '--registry-port=0',
        ...args,
      ],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: {
          ...process.env,
          SALLYPORT_HOME: home,
          SALLYPORT_BROKER: 'jvm',
          SALLYPORT_INGRESS_PORT: '0',
          CRM_WEBHOOK_SECRET: '',
          npm_lifecycle_event: undefined,
          NO_COLOR: '1',
          FORCE_COLOR: undefined,
          ...env,
        },
      },
    )
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output += text
      })
    }
    this.#exited = once(this.child, 'close').then(([code, signal]) => code ?? signal)
  }

  /** Everything it has printed. */
  get output(): string {
    return this.#output
  }

  /** Its exit code, or the name of the signal that ended it. */
  get exited(): Promise<number | string> {
    return this.#exited
  }

  /** Waits until everything is ready; rejects with its output when it ends first. */
  async ready(): Promise<DevFile> {
    for (;;) {
      const dev = readDevFile(this.#home)
      if (dev?.pid === this.child.pid) return dev as DevFile
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`sallyport start has ended:\n${this.#output}`)
      }
      await sleep(50)
    }
  }

  /** The process of a service, by its command line behind `sallyport`. */
  running(command: string): number {
    const lines = execFileSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' }).split('\n')
    const family = new Set(this.family())
    const line = lines.find(
      one =>
        one.includes(`main.ts ${command}`) &&
        !one.includes('/bin/sh') &&
        family.has(Number.parseInt(one, 10)),
    )
    return Number.parseInt(line ?? '', 10)
  }

  /** It and everything that it has started, guards included, as process ids. */
  family(): number[] {
    const lines = execFileSync('ps', ['-eo', 'pid=,ppid='], { encoding: 'utf8' }).trim().split('\n')
    const pairs = lines.map(line => line.trim().split(/\s+/).map(Number) as [number, number])
    const family = [this.child.pid as number]
    for (const parent of family) {
      for (const [pid, ppid] of pairs) if (ppid === parent) family.push(pid)
    }
    return family
  }
}

/** Which of these processes still run, once they have had `withinMs` to go. */
export async function survivors(pids: readonly number[], withinMs: number): Promise<number[]> {
  const deadline = performance.now() + withinMs
  for (;;) {
    const alive = pids.filter(isAlive)
    if (alive.length === 0 || performance.now() > deadline) return alive
    await sleep(50)
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
