/** Longer lines are passed on in pieces, bytes. */
const LINE_CHARS_MAX = 1_048_576

/** Passes text on in whole lines, so that what several processes write does not mix within one. */
export class WholeLines {
  readonly #write: (lines: string) => void
  #partial = ''

  constructor(write: (lines: string) => void) {
    this.#write = write
  }

  write(text: string): void {
    const all = this.#partial + text
    const end = all.length > LINE_CHARS_MAX ? all.length : all.lastIndexOf('\n') + 1
    this.#partial = all.slice(end)
    if (end > 0) this.#write(all.slice(0, end))
  }

  /** What an ended process left of a line. */
  end(): void {
    if (this.#partial !== '') this.#write(`${this.#partial}\n`)
    this.#partial = ''
  }
}
