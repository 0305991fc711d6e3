/**
 * A process that runs attempts under suspicion: they may end it, but not this one. It ends by itself once it has had
 * nothing to run for a while.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { looseEndsTotal } from '@sallyport/core/metrics'
import type { AttemptResult } from './attempt.ts'
import type { FromWard, ToWard, WardAttempt, WardSettings } from './ward-messages.ts'

/** An attempt that waits for its result, or for its turn. */
export interface Patient {
  readonly attempt: WardAttempt
  /** It has its result, or nobody wants it any more. */
  isDone: boolean
  end(result: AttemptResult): void
}

export interface WardEnd {
  /** It came as far as to load the handler. */
  readonly started: boolean
  /** What it ran when it ended, as far as its result is wanted. */
  readonly underWay: readonly Patient[]
  /** One attempt was under way, and no other one that nobody wants any more. */
  readonly wasAlone: boolean
  /** An exception ended it, and the attempt that it came from has been told. */
  readonly known: boolean
  /** For people: `SIGABRT`. */
  readonly how: string
}

/** What comes from another process are arrays of bytes, at times. */
function withBuffers(result: AttemptResult): AttemptResult {
  if (result.kind !== 'succeeded') return result
  const outputs = result.outputs.map(output => ({
    ...output,
    key: asBuffer(output.key),
    value: asBuffer(output.value),
  }))
  return { ...result, outputs }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

const PROCESS = fileURLToPath(new URL('./ward-process.ts', import.meta.url))
const PING_MS = 1_000
/** It may do nothing for this long, ms. */
const IDLE_MS = 5_000
/** With several attempts under way: how long it may not answer, ms. Nobody is charged, so it can be short. */
const GROUP_HANG_MS = 5_000
/** How long it may take to come up, ms. */
const START_MS = 60_000
/** How long it may take to end when it is told, ms. */
const END_MS = 1_000

export class Ward {
  readonly ended: Promise<WardEnd>
  readonly #processor: string
  readonly #child: ChildProcess
  readonly #hangMs: number
  readonly #patients = new Map<number, Patient>()
  readonly #pings: NodeJS.Timeout
  #idle: NodeJS.Timeout | undefined
  #nextId = 0
  #started = false
  #known = false
  /** For how long it has not answered, as far as this process has run meanwhile, ms. */
  #silentMs = 0
  #isLast = false
  #isEnding = false

  /** `hangMs`: how long one attempt may keep it from answering. */
  constructor(settings: WardSettings, processor: string, hangMs: number) {
    this.#processor = processor
    this.#hangMs = hangMs
    this.#child = fork(PROCESS, [], {
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#child.on('message', message => this.#hear(message as FromWard))
    this.ended = new Promise(resolve => {
      const end = (how: string): void => {
        clearInterval(this.#pings)
        clearTimeout(this.#idle)
        const underWay = [...this.#patients.values()].filter(({ isDone }) => !isDone)
        const wasAlone = this.#patients.size === 1 && !this.#isEnding
        resolve({ started: this.#started, underWay, wasAlone, known: this.#known, how })
      }
      this.#child.once('exit', (code, signal) =>
        end(this.#isSilent ? `it did not answer for ${this.#silentMs} ms` : (signal ?? `exit code ${code}`)),
      )
      // Nothing to be told, and no process to be ended.
      this.#child.on('error', error => {
        if (this.#child.pid === undefined) end(error.message)
      })
    })
    this.#pings = setInterval(() => this.#ping(), PING_MS)
    this.#tell({ kind: 'settings', settings })
  }

  /** Whether it can be given another attempt. */
  get takesMore(): boolean {
    return !this.#isLast && !this.#isEnding && this.#child.connected
  }

  /** Runs an attempt beside the others. */
  add(patient: Patient): void {
    clearTimeout(this.#idle)
    const id = this.#nextId++
    this.#patients.set(id, patient)
    this.#tell({ kind: 'attempt', id, attempt: patient.attempt })
  }

  /** Nobody wants this attempt's result any more. */
  cut(patient: Patient): void {
    for (const [id, one] of this.#patients) {
      if (one !== patient) continue
      this.#tell({ kind: 'cut', id })
    }
    // It may compute on: whoever came now could not be told from it.
    if ([...this.#patients.values()].every(({ isDone }) => isDone)) this.#end()
  }

  /** It is given no more: it ends as soon as it has nothing to run. */
  close(): void {
    this.#isLast = true
    if (this.#patients.size === 0) this.#end()
  }

  #hear(message: FromWard): void {
    this.#silentMs = 0
    switch (message.kind) {
      case 'ready':
        this.#started = true
        return
      case 'ended':
        this.#patients.get(message.id)?.end(withBuffers(message.result))
        this.#discharge(message.id)
        return
      case 'fault':
        looseEndsTotal.inc({ processor: this.#processor })
        return
      case 'broken':
        this.#known = message.known
    }
  }

  #discharge(id: number): void {
    if (!this.#patients.delete(id) || this.#patients.size > 0) return
    if (this.#isLast) this.#end()
    else this.#idle = setTimeout(() => this.#end(), IDLE_MS)
  }

  /** Counts its own turns only: a machine that was stopped blames nobody. */
  #ping(): void {
    this.#silentMs += PING_MS
    if (this.#isSilent) this.#child.kill('SIGKILL')
    else this.#tell({ kind: 'ping' })
  }

  get #isSilent(): boolean {
    const hangMs = this.#patients.size > 1 ? Math.min(GROUP_HANG_MS, this.#hangMs) : this.#hangMs
    return this.#silentMs > (this.#started ? hangMs : START_MS)
  }

  #end(): void {
    this.#isEnding = true
    if (!this.#child.connected) return
    this.#child.disconnect()
    setTimeout(() => this.#child.kill('SIGKILL'), END_MS).unref()
  }

  #tell(message: ToWard): void {
    if (this.#child.connected) this.#child.send(message, () => {})
  }
}
