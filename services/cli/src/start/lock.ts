import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SallyportError } from '@sallyport/core/errors'

/**
 * One start per folder.
 *
 * The lock names a process by its id and the time it began, since ids are used again. It is taken by `link`, which
 * the file system makes atomic, and a lock whose process is gone is taken over by `rename`, which only one of
 * several takers can win.
 */
interface Holder {
  readonly pid: number
  /** What tells this process from a later one with the same id; see `processMark`. */
  readonly mark: string
  /** True once it has begun to stop: waiting for it is worth while. */
  readonly stopping: boolean
  /** Tells one taking of the lock from another. */
  readonly nonce: string
}

const LOCK_FILE = 'start.lock'
/** A start that was killed takes a moment to be gone; a refusal may take that long. */
const GRACE_MS = 1_500
/** How long a start that is stopping is waited for. */
const STOPPING_WAIT_MS = 45_000
const POLL_MS = 150

export class StartLock {
  readonly #file: string
  #holder: Holder

  private constructor(file: string, holder: Holder) {
    this.#file = file
    this.#holder = holder
  }

  /**
   * Takes the lock of a folder. Throws `SP_ALREADY_RUNNING`, naming the process, when another start holds it;
   * waits for one that is stopping.
   */
  static async acquire(home: string, say: (line: string) => void, signal?: AbortSignal): Promise<StartLock> {
    const file = join(home, LOCK_FILE)
    const mine: Holder = {
      pid: process.pid,
      mark: processMark(process.pid) ?? '',
      stopping: false,
      nonce: randomBytes(8).toString('hex'),
    }
    const startedAt = performance.now()
    let told = false
    for (;;) {
      if (tryTake(file, mine) && readHolder(file)?.nonce === mine.nonce) return new StartLock(file, mine)
      const holder = readHolder(file)
      if (holder !== undefined) {
        const waited = performance.now() - startedAt
        if (waited > (holder.stopping ? STOPPING_WAIT_MS : GRACE_MS)) throw alreadyRunning(holder)
        if (holder.stopping && !told)
          say(`waiting for the earlier start (process ${holder.pid}) to finish stopping`)
        told ||= holder.stopping
      }
      await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal })
    }
  }

  /** Tells later starts that this one is about to end. */
  markStopping(): void {
    if (readHolder(this.#file)?.nonce !== this.#holder.nonce) return
    this.#holder = { ...this.#holder, stopping: true }
    const next = `${this.#file}.${this.#holder.nonce}`
    writeFileSync(next, JSON.stringify(this.#holder))
    renameSync(next, this.#file)
  }

  /** Gives the lock back, if it is still ours. Idempotent. */
  release(): void {
    if (readHolder(this.#file)?.nonce === this.#holder.nonce) rmSync(this.#file, { force: true })
  }
}

/** The living process that holds the lock of a folder, or undefined. */
export function lockHolder(home: string): number | undefined {
  return liveHolder(join(home, LOCK_FILE))?.pid
}

function tryTake(file: string, mine: Holder): boolean {
  if (liveHolder(file) !== undefined) return false
  const candidate = `${file}.${mine.nonce}`
  const stale = `${candidate}.stale`
  const before = readHolder(file)
  writeFileSync(candidate, JSON.stringify(mine))
  try {
    renameSync(file, stale)
    // Another taker may have put its own lock there in the meantime: give it back, and ask again.
    if (readHolder(stale)?.nonce !== before?.nonce) {
      linkSync(stale, file)
      return false
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  } finally {
    rmSync(stale, { force: true })
  }
  try {
    linkSync(candidate, file)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return false
  } finally {
    rmSync(candidate, { force: true })
  }
}

function liveHolder(file: string): Holder | undefined {
  const holder = readHolder(file)
  if (holder === undefined) return undefined
  return processMark(holder.pid) === holder.mark ? holder : undefined
}

/** What the lock says; undefined when there is none, or a text that is none of ours. */
function readHolder(file: string): Holder | undefined {
  try {
    const value = JSON.parse(readFileSync(file, 'utf8')) as Partial<Holder>
    if (typeof value.pid !== 'number' || typeof value.mark !== 'string') return undefined
    return { pid: value.pid, mark: value.mark, stopping: value.stopping === true, nonce: String(value.nonce) }
  } catch {
    return undefined
  }
}

/**
 * A text that a process keeps for life and a later one with the same id does not have: when it began. Undefined
 * when no such process runs. From /proc where there is one (field 22 of stat), else from ps.
 */
export function processMark(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch (error) {
    if (process.platform === 'linux' && (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
  }
  try {
    const text = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim()
    return text === '' ? undefined : text
  } catch {
    return undefined
  }
}

function alreadyRunning(holder: Holder): SallyportError {
  return new SallyportError(
    'SP_ALREADY_RUNNING',
    `npm start already runs in this folder (process ${holder.pid}): stop it with Ctrl-C or kill ${holder.pid}, or use it as it is`,
  )
}
