/** The processor's processes: started, killed, frozen, stopped. None outlives the checker (see `Daemon`). */
import { appendFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Daemon, startDaemon } from 'sallyport/broker/daemon'
import { NAME } from './agent.ts'
import { explainStandstill } from './standstill.ts'

const CLI = fileURLToPath(new URL('../../../services/cli/src/main.ts', import.meta.url))
const FAULT_POINTS = fileURLToPath(new URL('./fault-points.ts', import.meta.url))
const START_TIMEOUT_MS = 60_000
/** From SIGTERM to the exit: the drain's own deadline, leaving the group, and a busy machine. */
const STOP_TIMEOUT_MS = 45_000
const LINES_KEPT = 200
/** How long a process may take to open its inspector, ms, and how it says so. */
const INSPECTOR_MS = 1_000
const INSPECTOR_LINE = 'Debugger listening on '

export interface FleetRequest {
  readonly connection: { readonly brokers: readonly string[]; readonly registryUrl: string }
  readonly config: string
  /** Takes a log file per process. */
  readonly folder: string
  /** Has what fault points need that strike a broker, as `CHAOS_TARGETS` of fault-points.ts. */
  readonly targets: string
  /** A shell command for when the checker is killed. */
  readonly onOrphan: string
}

export class Fleet {
  readonly members: Member[] = []
  /** What no chaos explains: processes that ended by themselves, or did not stop when asked. */
  readonly problems: string[] = []
  readonly #request: FleetRequest
  #count = 0

  constructor(request: FleetRequest) {
    this.#request = request
  }

  /** Starts one more process; `fault` as `CHAOS_FAULT` of fault-points.ts. It reaches the brokers at `brokers`. */
  async add(fault = '', brokers = this.#request.connection.brokers): Promise<Member> {
    const member = new Member(`p${++this.#count}`, this.#request, brokers)
    await member.launch(fault)
    this.members.push(member)
    void member.exited.then(({ code, signal }) => {
      this.#remove(member)
      if (member.expected || signal === 'SIGKILL') return
      this.problems.push(`${member.name} ended by itself (${code ?? signal}):\n${member.tail(15)}`)
    })
    return member
  }

  async kill(member: Member): Promise<void> {
    member.signal('SIGKILL')
    await member.exited
    this.#remove(member)
  }

  /**
   * Asks a process to stop, unless it has been asked: a second signal would end it at once. One that does not stop, or
   * not with 0, is a problem.
   */
  async stop(member: Member): Promise<void> {
    if (!member.expected) {
      member.expected = true
      member.signal('SIGTERM')
    }
    const exit = await Promise.race([member.exited, sleep(STOP_TIMEOUT_MS, undefined, { ref: false })])
    if (exit === undefined) {
      const where = await member.explain()
      this.problems.push(
        `${member.name} did not stop in ${STOP_TIMEOUT_MS / 1_000} s:\n${member.tail(15)}\n${where}`,
      )
      await this.kill(member)
    } else if (exit.code !== 0 && !(exit.signal === 'SIGTERM' && member.isSilent)) {
      this.problems.push(`${member.name} stopped with ${exit.code ?? exit.signal}:\n${member.tail(15)}`)
    }
    this.#remove(member)
  }

  #remove(member: Member): void {
    const index = this.members.indexOf(member)
    if (index >= 0) this.members.splice(index, 1)
  }
}

export class Member {
  readonly name: string
  /** The brokers that it begins with. */
  readonly brokers: readonly string[]
  /** How many times it said that a broker's clock is odd. */
  oddClocks = 0
  /** Set once its end is wanted. */
  expected = false
  readonly #request: FleetRequest
  readonly #lines: string[] = []
  readonly #joined = Promise.withResolvers<void>()
  readonly #fault = Promise.withResolvers<string>()
  #daemon: Daemon | undefined
  #rest = ''

  constructor(name: string, request: FleetRequest, brokers: readonly string[]) {
    this.name = name
    this.brokers = brokers
    this.#request = request
  }

  async launch(fault: string): Promise<void> {
    const { connection, config, targets, onOrphan } = this.#request
    this.#daemon = await startDaemon({
      name: this.name,
      command: process.execPath,
      args: [
        '--no-warnings',
        '--inspect-port=0',
        ...['--import', FAULT_POINTS, CLI, 'processor', NAME, '--config', config],
      ],
      env: {
        CHAOS_FAULT: fault,
        CHAOS_TARGETS: targets,
        KAFKA_BROKERS: this.brokers.join(','),
        SCHEMA_REGISTRY_URL: connection.registryUrl,
        LOG_LEVEL: process.env.LOG_LEVEL ?? 'info',
      },
      log: { write: text => this.#read(text) },
      onOrphan,
    })
  }

  get exited(): Daemon['exited'] {
    return (this.#daemon as Daemon).exited
  }

  /** Resolves with the point at which the armed fault struck. */
  get struck(): Promise<string> {
    return this.#fault.promise
  }

  /** Whether it has not said anything yet: then it may not have begun to listen for signals. */
  get isSilent(): boolean {
    return this.#lines.length === 0
  }

  /** Whether it joined the group (or ended) within a minute. */
  async joined(): Promise<boolean> {
    const late = sleep(START_TIMEOUT_MS, 'late' as const, { ref: false })
    return (await Promise.race([this.#joined.promise, this.exited, late])) !== 'late'
  }

  signal(signal: NodeJS.Signals): void {
    this.#daemon?.signal(signal)
  }

  /** Stops for a while as if the machine had (SIGSTOP), then goes on: a zombie, if that was long enough. */
  async freeze(ms: number): Promise<void> {
    this.signal('SIGSTOP')
    await sleep(ms)
    this.signal('SIGCONT')
  }

  tail(lines: number): string {
    return this.#lines
      .slice(-lines)
      .map(line => `      ${line}`)
      .join('\n')
  }

  /** For people: what it does at this moment, whether it computes, waits or is frozen. */
  async explain(): Promise<string> {
    const { pid } = this.#daemon as Daemon
    this.signal('SIGUSR1')
    await sleep(INSPECTOR_MS)
    const url = this.#lines.findLast(line => line.startsWith(INSPECTOR_LINE))?.slice(INSPECTOR_LINE.length)
    return (await explainStandstill(pid, url)).map(line => `      ${line}`).join('\n')
  }

  #read(text: string): void {
    appendFileSync(path.join(this.#request.folder, `${this.name}.log`), text)
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop() as string
    for (const line of lines) {
      if (line.startsWith('#fault ')) this.#fault.resolve(line.slice(7))
      if (line.includes('"joined the group"')) this.#joined.resolve()
      if (line.includes('SP_BROKER_CLOCK')) this.oddClocks++
      this.#lines.push(line.slice(0, 500))
    }
    if (this.#lines.length > LINES_KEPT) this.#lines.splice(0, this.#lines.length - LINES_KEPT)
  }
}
