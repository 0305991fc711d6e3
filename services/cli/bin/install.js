// Runs on Node 20 with nothing installed: Node's own modules only, no TypeScript.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** How often a second launcher looks whether the first one's installation has ended. */
const INSTALL_POLL_MS = 300
/** How many lines of them are shown: the first ones say what is wrong. */
const NPM_LINES_MAX = 20
/** npm's own words are kept up to this length, for the case that it fails. */
const NPM_OUTPUT_CHARS_MAX = 20_000

/**
 * Makes node_modules what package-lock.json says, by `npm ci`, and does nothing when it already is.
 *
 * @param {string} root the folder of package-lock.json
 * @param {{ dev: boolean }} needs whether the development packages are needed too
 */
export async function ensureInstalled(root, needs) {
  while (whyInstall(root, needs) !== undefined) {
    const release = takeInstallLock(root)
    if (release === undefined) {
      await sleep(INSTALL_POLL_MS)
      continue
    }
    try {
      const reason = whyInstall(root, needs)
      if (reason === undefined) return
      await install(root, reason)
    } finally {
      release()
    }
    const still = whyInstall(root, needs)
    if (still !== undefined) throw new InstallError(`npm ci ended well, and yet ${still}`)
  }
}

/** An installation that failed; the message is for people and says what to do. */
export class InstallError extends Error {}

/**
 * Why node_modules is not what package-lock.json says, or undefined when it is. Compared by content, because
 * the files' times say nothing after a checkout or a copy.
 *
 * @param {string} root
 * @param {{ dev: boolean }} needs
 * @returns {string | undefined}
 */
export function whyInstall(root, needs) {
  const wanted = readPackages(join(root, 'package-lock.json'))
  if (wanted === undefined)
    throw new InstallError(`package-lock.json is missing or broken in ${root}: restore it`)
  const present = readPackages(join(root, 'node_modules', '.package-lock.json'))
  if (present === undefined) return 'no packages are installed'
  for (const [path, entry] of Object.entries(wanted)) {
    if (!path.startsWith('node_modules/') && !path.includes('/node_modules/')) continue
    const found = present[path]
    if (found === undefined) {
      if (entry.optional || entry.devOptional || entry.peer) continue
      if (entry.dev && !needs.dev) continue
      return `${path} is missing`
    }
    if (found.version !== entry.version || found.integrity !== entry.integrity || found.link !== entry.link) {
      return `${path} has another version`
    }
  }
  if (!existsSync(join(root, 'node_modules', 'node', 'bin', nodeName()))) return 'Node.js 24 is missing'
  return undefined
}

function readPackages(file) {
  try {
    const { packages } = JSON.parse(readFileSync(file, 'utf8'))
    return typeof packages === 'object' && packages !== null ? packages : undefined
  } catch {
    return undefined
  }
}

/** The file name of the Node.js that npm brings. */
export function nodeName() {
  return process.platform === 'win32' ? 'node.exe' : 'node'
}

/** Two launchers must not run npm ci at once. Undefined when another living process installs. */
function takeInstallLock(root) {
  const folder = join(root, '.sallyport')
  const file = join(folder, 'install.lock')
  mkdirSync(folder, { recursive: true })
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' })
  } catch (error) {
    if (error.code !== 'EEXIST') throw error
    if (!holderLives(file)) rmSync(file, { force: true })
    return undefined
  }
  return () => rmSync(file, { force: true })
}

function holderLives(file) {
  try {
    const pid = Number(readFileSync(file, 'utf8'))
    if (!(pid > 0)) return false
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

async function install(root, reason) {
  const line = showElapsed(`installing packages with npm ci, since ${reason} (about a minute the first time)`)
  const npm = npmCommand()
  const { code, output } = await runQuietly(
    npm.command,
    [...npm.args, 'ci', '--no-audit', '--no-fund', '--loglevel=error'],
    root,
  )
  line.end(code === 0 ? 'done' : 'failed')
  if (code === 0) return
  const words = output
    .split('\n')
    .filter(line => line.trim() !== '' && !/^npm warn/.test(line))
    .slice(0, NPM_LINES_MAX)
    .join('\n')
  throw new InstallError(
    `${words}\n\nnpm ci failed (exit ${code}); npm's own words stand above. ${remedy(output)}`,
  )
}

function remedy(output) {
  return output.includes('EUSAGE')
    ? 'package-lock.json does not fit package.json: run npm install once.'
    : 'Check the network and the registry that npm uses (npm config get registry), then run the same command again.'
}

/** The npm that called us, where one did; otherwise the one in PATH. */
function npmCommand() {
  const called = process.env.npm_execpath
  if (called !== undefined && basename(called) === 'npm-cli.js' && existsSync(called)) {
    return { command: process.execPath, args: [called] }
  }
  return { command: process.platform === 'win32' ? 'npm.cmd' : 'npm', args: [] }
}

function runQuietly(command, args, cwd) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const keep = chunk => {
      output = (output + chunk).slice(0, NPM_OUTPUT_CHARS_MAX)
    }
    child.stdout.setEncoding('utf8').on('data', keep)
    child.stderr.setEncoding('utf8').on('data', keep)
    child.on('error', error =>
      reject(new InstallError(`npm cannot be run (${error.message}): install npm 10 or newer and try again`)),
    )
    child.on('close', (code, signal) => resolve({ code: code ?? signal, output }))
  })
}

/** One line on standard error that counts the seconds on a terminal, and two plain lines elsewhere. */
function showElapsed(text) {
  const startedAt = Date.now()
  const seconds = () => `${((Date.now() - startedAt) / 1000).toFixed(0)} s`
  const live = process.stderr.isTTY === true
  process.stderr.write(live ? `- ${text} …` : `- ${text} …\n`)
  const timer = live
    ? setInterval(() => process.stderr.write(`\r- ${text} … ${seconds()}`), 1_000)
    : undefined
  return {
    end(how) {
      clearInterval(timer)
      process.stderr.write(
        live ? `\r- ${text}: ${how} in ${seconds()}\n` : `- packages: ${how} in ${seconds()}\n`,
      )
    },
  }
}
