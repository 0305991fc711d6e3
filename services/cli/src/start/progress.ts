import { createSpinner, type Spinner } from 'nanospinner'
import type { Steps } from '../broker/way.ts'
import { colors } from '../colors.ts'

const FRAME_MS = 80
const SHOW_CURSOR = '\u001b[?25h'

/** Shows what takes long: a spinner on a terminal, plain lines elsewhere. */
export class Progress implements Steps {
  readonly #out: NodeJS.WriteStream
  readonly #live: boolean
  #spinner: Spinner | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(out: NodeJS.WriteStream = process.stdout, env: NodeJS.ProcessEnv = process.env) {
    this.#out = out
    this.#live = canSpin(out, env)
    if (this.#live) process.on('exit', () => this.#spinner && out.write(`\n${SHOW_CURSOR}`))
  }

  async step<T>(title: string, run: () => Promise<T>): Promise<T> {
    const startedAt = performance.now()
    this.#begin(title)
    try {
      const result = await run()
      this.#end(colors.green('✔'), `${title}: ${seconds(startedAt)}`)
      return result
    } catch (error) {
      this.#end(colors.red('✖'), `${title}: given up after ${seconds(startedAt)}`)
      throw error
    }
  }

  say(line: string): void {
    this.print(`${colors.dim('•')} ${line}`)
  }

  /** Text as it is, above the spinner. */
  print(text: string): void {
    this.#spinner?.clear()
    this.#out.write(`${text}\n`)
  }

  // nanospinner's own start() ends the process on SIGINT, and there is something to be put in order first: hence
  // its single frames, by a timer of ours.
  #begin(title: string): void {
    if (!this.#live) {
      this.#out.write(`- ${title} …\n`)
      return
    }
    const spinner = createSpinner(`${title} …`, { stream: this.#out }).spin()
    this.#spinner = spinner
    this.#timer = setInterval(() => spinner.spin(), FRAME_MS)
  }

  #end(mark: string, text: string): void {
    clearInterval(this.#timer)
    this.#spinner?.stop()
    this.#spinner = undefined
    this.#out.write(`${mark} ${text}\n`)
  }
}

/**
 * Whether a spinner works here. On a terminal that does not tell its width nanospinner clears infinitely many
 * lines; on one that it does not trust (its own rule: a dumb one, or in CI) it prints a line per frame.
 */
function canSpin(out: NodeJS.WriteStream, env: NodeJS.ProcessEnv): boolean {
  return out.isTTY === true && out.columns > 0 && env.TERM !== 'dumb' && !('CI' in env)
}

function seconds(startedAt: number): string {
  return `${((performance.now() - startedAt) / 1000).toFixed(1)} s`
}
