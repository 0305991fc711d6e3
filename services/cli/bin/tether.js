// Loaded before the program. Ties its life to the process that launched it, so that killing `npm start` the hard
// way leaves nothing behind, and keeps two of Node's warnings that mean nothing to users off the screen.

/** Warnings that users must not see: Node's own about type stripping, and kafkajs's harmless negative timer. */
export const HIDDEN_WARNINGS = ['ExperimentalWarning', 'TimeoutNegativeWarning']

/** How often the parent is looked at, where only polling can tell. */
const PARENT_POLL_MS = 250
/** Exit code when the launcher died: as after SIGHUP. */
const EXIT_ORPHANED = 129

/** Hides the warnings above in this process, and no others. */
export function hideWarnings() {
  const emit = process.emit
  process.emit = function (name, ...args) {
    if (name === 'warning' && HIDDEN_WARNINGS.includes(args[0]?.name)) return false
    return emit.call(this, name, ...args)
  }
}

/**
 * Calls `orphaned` once the npm that runs this process has died without telling us (SIGKILL): npm's own child
 * lives on then. Does nothing when another program than npm is the parent, since a shell may end legitimately.
 *
 * @param {() => void} orphaned
 * @param {(pid: number) => string} commandOf
 */
export function watchNpm(orphaned, commandOf) {
  if (process.env.npm_lifecycle_event === undefined) return
  const parent = process.ppid
  if (!/^(npm|npx)\b|\bnp[mx](-cli\.js)?\b/.test(commandOf(parent))) return
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    orphaned()
  }, PARENT_POLL_MS)
  timer.unref()
}

// Only the launcher's own child is tied; processes that it forks in turn inherit this module but another parent.
if (process.channel !== undefined && process.env.SALLYPORT_LAUNCHER === String(process.ppid)) {
  process.on('disconnect', () => process.exit(EXIT_ORPHANED))
  process.channel.unref()
}
delete process.env.SALLYPORT_LAUNCHER
