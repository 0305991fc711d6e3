// Loaded before the program. Ties its life to the process that launched it, so that killing `npm start` the hard
// way leaves nothing behind, and keeps two of Node's warnings that mean nothing to users off the screen.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'

/** Warnings that users must not see: Node's own about type stripping, and kafkajs's harmless negative timer. */
export const HIDDEN_WARNINGS = ['ExperimentalWarning', 'TimeoutNegativeWarning']

/** How often the ancestors are looked at, where only polling can tell; asking ps costs more than reading /proc. */
const POLL_MS = { proc: 250, ps: 2_000 }
/** Exit code when the launcher died: as after SIGHUP. */
const EXIT_ORPHANED = 129

/** The same for Node's command line. */
export const HIDING_FLAGS = HIDDEN_WARNINGS.map(name => `--disable-warning=${name}`)

/** Hides the warnings above, and no others, in this process and in those that it forks. */
export function hideWarnings() {
  process.execArgv.push(...HIDING_FLAGS)
  const emit = process.emit
  process.emit = function (name, ...args) {
    if (name === 'warning' && HIDDEN_WARNINGS.includes(args[0]?.name)) return false
    return emit.call(this, name, ...args)
  }
}

/**
 * Notices what npm does not pass on. npm is our parent, or the parent of a shell between us; another program that
 * called us is not watched, since a shell may end legitimately.
 *
 * - npm has died (SIGKILL): its children live on. `orphaned` is called.
 * - the shell has died: npm passed SIGTERM to it instead of us. We send ourselves what was meant for us.
 *
 * @param {() => void} orphaned
 */
export function watchNpm(orphaned) {
  if (process.env.npm_lifecycle_event === undefined) return
  const parent = process.ppid
  const { command, ppid: grandparent } = processOf(parent)
  const throughShell = /^\S*sh -c /.test(command) && isNpm(processOf(grandparent).command)
  if (!throughShell && !isNpm(command)) return
  const look = () => {
    const parentDied = process.ppid !== parent
    if (!parentDied && (!throughShell || processOf(parent).ppid === grandparent)) return
    clearInterval(timer)
    if (parentDied && throughShell) process.kill(process.pid, 'SIGTERM')
    else orphaned()
  }
  const timer = setInterval(look, existsSync('/proc/self/stat') ? POLL_MS.proc : POLL_MS.ps)
  timer.unref()
}

function isNpm(command) {
  return /^np[mx]\b|np[mx]-cli\.js\b/.test(command)
}

/** The parent and the command line of a process; 0 and an empty text when it is gone. */
function processOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const ppid = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
    return { ppid, command: readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ') }
  } catch {
    if (existsSync('/proc/self/stat')) return { ppid: 0, command: '' }
  }
  try {
    const line = execFileSync('ps', ['-o', 'ppid=,args=', '-p', String(pid)], { encoding: 'utf8' })
    const [, ppid, command] = /^\s*(\d+)\s+(.*)/.exec(line) ?? []
    return { ppid: Number(ppid ?? 0), command: command ?? '' }
  } catch {
    return { ppid: 0, command: '' }
  }
}

// Only the launcher's own child is tied; processes that it forks in turn inherit this module but another parent.
if (process.channel !== undefined && process.env.SALLYPORT_LAUNCHER === String(process.ppid)) {
  process.on('disconnect', () => process.exit(EXIT_ORPHANED))
  process.channel.unref()
}
delete process.env.SALLYPORT_LAUNCHER
