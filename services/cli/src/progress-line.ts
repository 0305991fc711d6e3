/** One line that says how far a command is; on a terminal only, and gone when the command is done. */
const REDRAW_MS = 100
const CLEAR_LINE = '\r\u001b[2K'

export class ProgressLine {
  readonly #label: string
  readonly #live = process.stderr.isTTY === true && process.env.TERM !== 'dumb'
  #drawnAt = 0

  constructor(label: string) {
    this.#label = label
  }

  /** `total`: undefined where nobody knows it. */
  update(done: number, total?: number): void {
    const now = performance.now()
    if (!this.#live || now - this.#drawnAt < REDRAW_MS) return
    this.#drawnAt = now
    const of = total === undefined ? '' : ` of ${total.toLocaleString('en')}`
    process.stderr.write(`${CLEAR_LINE}${this.#label}: ${done.toLocaleString('en')}${of}`)
  }

  end(): void {
    if (this.#drawnAt > 0) process.stderr.write(CLEAR_LINE)
  }
}
