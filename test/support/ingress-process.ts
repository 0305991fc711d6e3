/** An ingress as a process of its own, as in production, so that it can be killed and its CPU time can be read. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const CLI = fileURLToPath(new URL('../../services/cli/src/main.ts', import.meta.url))
const READY_TIMEOUT_MS = 60_000
const TICKS_PER_SECOND = 100

export interface ProcessRequest {
  readonly connection: { readonly brokers: readonly string[]; readonly registryUrl: string }
  readonly config: string
  readonly port: number
  /** A core to pin it to (taskset). */
  readonly core?: number
  readonly env?: Readonly<Record<string, string>>
}

export class IngressProcess {
  readonly url: string
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, url: string) {
    this.#child = child
    this.url = url
  }

  /** Starts `sallyport ingress` and waits until it is ready. */
  static async start({ connection, config, port, core, env }: ProcessRequest): Promise<IngressProcess> {
    const node = [
      process.execPath,
      '--no-warnings',
      CLI,
      'ingress',
      '--config',
      config,
      '--port',
      String(port),
    ]
    const [command, ...args] = core === undefined ? node : ['taskset', '-c', String(core), ...node]
    const child = spawn(command as string, args, {
      env: {
        ...process.env,
        KAFKA_BROKERS: connection.brokers.join(','),
        SCHEMA_REGISTRY_URL: connection.registryUrl,
        LOG_LEVEL: 'error',
        ...env,
      },
      stdio: ['ignore', 'inherit', 'ignore'],
    })
    const started = new IngressProcess(child, `http://127.0.0.1:${port}`)
    const deadline = Date.now() + READY_TIMEOUT_MS
    while (!(await isReady(started.url))) {
      if (child.exitCode !== null || Date.now() > deadline)
        throw new Error('the ingress did not become ready')
      await sleep(50)
    }
    return started
  }

  /** User and system time so far, seconds. */
  cpuSeconds(): number {
    // taskset replaces itself by what it runs, so the pid is the ingress's own.
    const fields = readFileSync(`/proc/${this.#child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
  }

  /** Resident set, MiB. */
  rssMib(): number {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8')
    return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1_024)
  }

  /** The most that the resident set has been since `forgetPeak`, MiB. */
  peakRssMib(): number {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8')
    return Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1_024)
  }

  forgetPeak(): void {
    writeFileSync(`/proc/${this.#child.pid}/clear_refs`, '5')
  }

  /** How many sockets the process has, listening ones and those towards Kafka included. */
  sockets(): number {
    const folder = `/proc/${this.#child.pid}/fd`
    let count = 0
    for (const name of readdirSync(folder)) {
      try {
        if (readlinkSync(`${folder}/${name}`).startsWith('socket:')) count++
      } catch {
        // Closed meanwhile.
      }
    }
    return count
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** Drains it; gives its exit code. */
  async stop(): Promise<number | null> {
    await this.#end('SIGTERM')
    return this.#child.exitCode
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill(signal)
    await ended
  }
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/health/ready`)).status === 200
  } catch {
    return false
  }
}
