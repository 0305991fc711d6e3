/** A command on a terminal of its own, as a person runs it: `script` of util-linux, and of macOS, makes the terminal. */
import { spawn } from 'node:child_process'
import { Running } from './cli.ts'

/** Keys, as a terminal sends them. */
export const CTRL_C = '\u0003'
export const CTRL_D = '\u0004'
export const ENTER = '\r'

/** What the shell says last. */
const END = /\r\n#code (\d+)\r\n([\s\S]*)#settings end\r\n/

export class Terminal {
  readonly #running: Running

  /** Starts a command with this environment. */
  constructor(command: readonly string[], env: NodeJS.ProcessEnv) {
    const line = command.map(word => `'${word.replaceAll("'", "'\\''")}'`).join(' ')
    // The shell outlives Ctrl-C, to say how the command ended and how it left the terminal.
    const shell = `trap : INT; stty cols 200; ${line}; code=$?; echo; echo "#code $code"; stty -a; echo "#settings end"`
    const args =
      process.platform === 'linux' ? ['-qc', shell, '/dev/null'] : ['-q', '/dev/null', 'sh', '-c', shell]
    const child = spawn('script', args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...env, SHELL: '/bin/sh', TERM: 'xterm', NO_COLOR: undefined },
    })
    this.#running = new Running(child)
  }

  /** Everything that was shown, with what steers the terminal. */
  get screen(): string {
    return this.#running.stdout
  }

  async shows(text: string | RegExp): Promise<void> {
    await this.#running.prints(text)
  }

  /** Presses keys. */
  type(keys: string): void {
    this.#running.child.stdin?.write(keys)
  }

  /** The exit code as a shell sees it, and the terminal's settings afterwards, as `stty -a` prints them. */
  async end(): Promise<{ code: number; settings: string }> {
    await this.#running.ended
    const [, code, settings = ''] = END.exec(this.screen) ?? []
    if (code === undefined) throw new Error(`the command did not end in order: ${this.screen}`)
    return { code: Number(code), settings }
  }
}
