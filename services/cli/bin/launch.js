// Runs on Node 20 with nothing installed: Node's own modules only, no TypeScript.
import { spawn } from 'node:child_process'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { ensureInstalled, InstallError, nodeName } from './install.js'
import { HIDING_FLAGS, hideWarnings, watchNpm } from './tether.js'

const BIN = dirname(fileURLToPath(import.meta.url))

/** The folder that the whole project stands in. */
export const ROOT = resolve(BIN, '../../..')

const NODE_MAJOR_MIN = 24
const FORWARDED_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP']
/** One Ctrl-C reaches us from the terminal and from npm as well: repeats within this time are one. */
const SIGNAL_REPEAT_MS = 500

/**
 * Installs what is missing, then runs a script on Node 24: in this process where it is new enough, else in a
 * child whose signals and exit code are passed through.
 *
 * @param {string} script
 * @param {string[]} args
 * @param {{ dev: boolean }} needs whether the script needs the development packages
 */
export async function launch(script, args, needs) {
  try {
    await ensureInstalled(ROOT, needs)
  } catch (error) {
    if (!(error instanceof InstallError)) throw error
    console.error(error.message)
    process.exit(1)
  }
  const file = resolve(script)
  if (Number(process.versions.node.split('.')[0]) >= NODE_MAJOR_MIN) await runHere(file, args)
  else runInChild(file, args)
}

async function runHere(file, args) {
  hideWarnings()
  let stopping = false
  for (const signal of FORWARDED_SIGNALS) {
    // Only notes the signal: the program's own listeners act on it, and without any it ends the process as ever.
    process.prependListener(signal, () => {
      stopping = true
      if (process.listenerCount(signal) === 1) dieOf(signal)
    })
  }
  watchNpm(() => stopping || process.exit(129))
  process.argv = [process.execPath, file, ...args]
  await import(pathToFileURL(file).href)
}

function runInChild(file, args) {
  const node = join(ROOT, 'node_modules', 'node', 'bin', nodeName())
  const child = spawn(
    node,
    [...HIDING_FLAGS, '--import', pathToFileURL(join(BIN, 'tether.js')).href, file, ...args],
    {
      stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, SALLYPORT_LAUNCHER: String(process.pid) },
    },
  )
  let stopping = false
  let forwardedAt = 0
  for (const signal of FORWARDED_SIGNALS) {
    process.on(signal, () => {
      stopping = true
      if (Date.now() - forwardedAt < SIGNAL_REPEAT_MS) return
      forwardedAt = Date.now()
      child.kill(signal)
    })
  }
  // Going away at once closes the channel, and the child with it.
  watchNpm(() => stopping || process.exit(129))
  child.on('error', error => {
    console.error(
      `${node} cannot be run (${error.message}): run npm ci, which brings Node.js 24 for this machine`,
    )
    process.exit(1)
  })
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code)
    for (const forwarded of FORWARDED_SIGNALS) process.removeAllListeners(forwarded)
    dieOf(signal)
  })
}

/** Ends this process by the signal, so that the caller sees what happened. */
function dieOf(signal) {
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
  // SIGKILL and the like end us before this; a signal that is ignored would leave us hanging.
  setTimeout(() => process.exit(1), 1_000)
}
