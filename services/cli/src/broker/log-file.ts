import { closeSync, mkdirSync, openSync, renameSync, statSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/** Default bound of one log file, bytes; a log takes at most twice that, since one older file is kept. */
const LOG_BYTES_MAX = 5 * 1024 * 1024
/** How many of the last lines are kept in memory for a diagnosis. */
const TAIL_LINES_MAX = 400

/**
 * A log on disk that stays small: beyond its bound it moves to `<file>.1`, replacing the older one. A run starts
 * with an empty file. Writes are synchronous, so that the last words of a dying program are there.
 */
export class LogFile {
  readonly path: string
  readonly #bytesMax: number
  #descriptor: number
  #bytes = 0
  #lines: string[] = []
  #partial = ''

  constructor(path: string, bytesMax = LOG_BYTES_MAX) {
    this.path = path
    this.#bytesMax = bytesMax
    mkdirSync(dirname(path), { recursive: true })
    this.#keepOlder()
    this.#descriptor = openSync(path, 'w')
  }

  write(text: string): void {
    this.#remember(text)
    if (this.#descriptor < 0) return
    if (this.#bytes > this.#bytesMax) this.#rotate()
    this.#bytes += writeSync(this.#descriptor, text)
  }

  /** The last lines, oldest first. */
  tail(): readonly string[] {
    return this.#partial === '' ? this.#lines : [...this.#lines, this.#partial]
  }

  /** Begins a new tail: what was written before belongs to another run. */
  forget(): void {
    this.#lines = []
    this.#partial = ''
  }

  close(): void {
    if (this.#descriptor < 0) return
    closeSync(this.#descriptor)
    this.#descriptor = -1
  }

  #remember(text: string): void {
    const lines = (this.#partial + text).split('\n')
    this.#partial = lines.pop() as string
    this.#lines = [...this.#lines, ...lines].slice(-TAIL_LINES_MAX)
  }

  #rotate(): void {
    closeSync(this.#descriptor)
    this.#keepOlder()
    this.#descriptor = openSync(this.path, 'w')
    this.#bytes = 0
  }

  #keepOlder(): void {
    const size = statSync(this.path, { throwIfNoEntry: false })?.size ?? 0
    if (size > 0) renameSync(this.path, `${this.path}.1`)
  }
}
