/**
 * Everything that a run makes: the settings, the processes' logs, and what the brokers have (their settings, logs and
 * data). It goes with the run, unless the run fails and what it made is to be kept.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

export interface RunFolderOptions {
  /** Whether the folder of a run that fails stays, however it fails. */
  readonly keeps: boolean
  /** Takes a copy of the processes' logs, whatever comes of the run; default none. */
  readonly logs?: string
}

export class RunFolder {
  readonly path = mkdtempSync(path.join(os.tmpdir(), 'sallyport-chaos-'))
  readonly processes = path.join(this.path, 'processes')
  readonly brokers = path.join(this.path, 'brokers')
  /** A shell command that removes the folder when nothing else of the run is left to do so. */
  readonly onOrphan: string
  readonly #options: RunFolderOptions
  #isTold = false

  constructor(options: RunFolderOptions) {
    this.#options = options
    this.onOrphan = options.keeps ? ':' : `rm -rf '${this.path}'`
    for (const folder of [this.processes, this.brokers]) mkdirSync(folder)
    process.on('exit', code => this.#end(code))
  }

  /** Says where everything is, where a run that fails keeps it. */
  tell(): void {
    if (!this.#options.keeps || this.#isTold) return
    this.#isTold = true
    console.log(`\neverything is kept in ${this.path}: ${KEPT}`)
  }

  #end(code: number): void {
    if (this.#options.logs !== undefined) cpSync(this.processes, this.#options.logs, { recursive: true })
    if (code !== 0 && this.#options.keeps) this.tell()
    else rmSync(this.path, { recursive: true, force: true })
  }
}

const KEPT = "processes/ has the processes' logs, brokers/ the brokers' logs, settings and data"
