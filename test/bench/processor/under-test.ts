/** A process under test, on a core of its own; it cannot outlive the bench (see `Daemon`). */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Daemon, startDaemon } from 'sallyport/broker/daemon'
import type { Site } from './site.ts'

/** The core of the processes under test; broker, registry and the bench itself have the other one. */
export const PROCESS_CORE = 0
export const OTHERS_CORE = 1

/** Where this program runs, and whatever it starts from now on. */
export function pin(...cores: readonly number[]): void {
  execFileSync('taskset', ['-a', '-p', '-c', cores.join(','), String(process.pid)], { stdio: 'ignore' })
}

const CLI = fileURLToPath(new URL('../../../services/cli/src/main.ts', import.meta.url))
const PLAIN = fileURLToPath(new URL('./plain.ts', import.meta.url))
const TICKS_PER_SECOND = 100
const STOP_MS = 20_000

export class UnderTest {
  readonly #daemon: Daemon
  readonly #output: string[]

  private constructor(daemon: Daemon, output: string[]) {
    this.#daemon = daemon
    this.#output = output
  }

  /** `sallyport processor`, as in production; `config` names the settings file. */
  static async engine(site: Site, config: string, processor: string): Promise<UnderTest> {
    return await UnderTest.#start(site, [CLI, 'processor', '--config', config], {
      BENCH_PROCESSOR: processor,
    })
  }

  static async plain(site: Site, kind: 'count' | 'at-least-once', groupId: string): Promise<UnderTest> {
    return await UnderTest.#start(site, [PLAIN, kind, groupId], {})
  }

  static async #start(site: Site, args: string[], env: NodeJS.ProcessEnv): Promise<UnderTest> {
    const output: string[] = []
    const profiling = process.env.BENCH_NODE_OPTIONS?.split(' ') ?? []
    const daemon = await startDaemon({
      name: 'process under test',
      command: 'taskset',
      args: ['-c', String(PROCESS_CORE), process.execPath, '--no-warnings', ...profiling, ...args],
      env: {
        KAFKA_BROKERS: site.brokers.join(','),
        SCHEMA_REGISTRY_URL: site.registryUrl,
        LOG_LEVEL: 'info',
        ...env,
      },
      log: { write: text => output.push(text) },
    })
    return new UnderTest(daemon, output)
  }

  /** User and system time so far, seconds. */
  cpuSeconds(): number {
    const fields = readFileSync(`/proc/${this.#daemon.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
  }

  /** Resolves once it has its first partitions. */
  async joined(): Promise<void> {
    while (!this.#output.some(text => text.includes('"joined the group"'))) {
      this.check()
      await sleep(50)
    }
  }

  /** Throws with its output when it has ended by itself. */
  check(): void {
    if (this.#daemon.ended !== undefined) throw new Error(`it ended by itself:\n${this.#output.join('')}`)
  }

  async kill(): Promise<void> {
    this.#daemon.kill()
    await this.#daemon.exited
  }

  async stop(): Promise<void> {
    await this.#daemon.stop(STOP_MS)
  }
}
