/**
 * How a command ends before its time: Ctrl-C, SIGTERM, or a reader that has had enough (`| head`).
 *
 * A command that leaves something to be put in order runs inside `interruptible`; any other ends at once, by the
 * signal, as every program does.
 */
import { EXIT } from './exit.ts'

type Reason = 'SIGINT' | 'SIGTERM' | 'EPIPE'

/** Thrown out of `interruptible` once the work has been put in order. */
export class Interrupted extends Error {
  readonly reason: Reason

  constructor(reason: Reason) {
    super(`interrupted by ${reason}`)
    this.reason = reason
  }
}

/** How long the work may take to end in order, ms. */
const UNWIND_MS = 3_000

let onClosedPipe: (() => void) | undefined

/** Makes a closed standard output an ordinary end. Called once, before any command. */
export function watchPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
      if (onClosedPipe === undefined) process.exit(EXIT.done)
      else onClosedPipe()
    })
  }
}

/**
 * Runs work that must be put in order when it is interrupted: `signal` aborts then, and whatever the work throws or
 * returns after that counts as the interruption. A second Ctrl-C, or an end that takes too long, ends the process.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  let reason: Reason | undefined
  let timer: NodeJS.Timeout | undefined
  const interrupt = (why: Reason): void => {
    if (reason !== undefined) {
      if (why !== 'EPIPE') endInterrupted(why)
      return
    }
    reason = why
    timer = setTimeout(endInterrupted, UNWIND_MS, why).unref()
    controller.abort(new Interrupted(why))
  }
  const onInt = (): void => interrupt('SIGINT')
  const onTerm = (): void => interrupt('SIGTERM')
  process.on('SIGINT', onInt)
  process.on('SIGTERM', onTerm)
  onClosedPipe = () => interrupt('EPIPE')
  try {
    const result = await work(controller.signal)
    if (reason !== undefined) throw new Interrupted(reason)
    return result
  } catch (error) {
    throw reason === undefined ? error : new Interrupted(reason)
  } finally {
    clearTimeout(timer)
    process.off('SIGINT', onInt)
    process.off('SIGTERM', onTerm)
    onClosedPipe = undefined
  }
}

/** Ends the process as the interruption would have: by the signal, so that a shell's loop around it ends too. */
export function endInterrupted(reason: Reason): void {
  if (reason === 'EPIPE') process.exit(EXIT.done)
  process.removeAllListeners(reason)
  process.kill(process.pid, reason)
  // As process 1 of a container a signal without a listener is ignored.
  setTimeout(() => process.exit(EXIT.interrupted), 500)
}
