import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Counts } from './count-reporter.ts'

/** What one step of the tests came to. */
export interface StepResult {
  readonly passed: number
  readonly failed: number
  readonly pending: number
}

const running = new Set<number>()
// Each step is a process group of its own, so that what it leaves behind goes with it, however we end.
process.on('exit', () => running.forEach(killGroup))

/** Runs a command with its output passed through. True when it ended well within `limitMs`. */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: { limitMs: number; env?: NodeJS.ProcessEnv },
): Promise<boolean> {
  const child = spawn(command, args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: true,
    env: { ...process.env, ...options.env },
  })
  const pid = child.pid
  if (pid === undefined) {
    const [error] = (await once(child, 'error')) as [Error]
    console.log(`${command} cannot be run: ${error.message}`)
    return false
  }
  running.add(pid)
  const timer = setTimeout(() => {
    console.log(`\nstopped: it ran longer than ${options.limitMs / 60_000} min`)
    killGroup(pid)
  }, options.limitMs)
  const [code] = (await once(child, 'exit')) as [number | null]
  clearTimeout(timer)
  killGroup(pid)
  running.delete(pid)
  return code === 0
}

/** Runs the test files of a folder with mocha and counts them. No test, and a mocha that died, count as failed. */
export async function runMocha(folder: string, limitMs: number): Promise<StepResult> {
  const files = globSync(`${folder}/**/*.test.ts`).sort()
  if (files.length === 0) {
    console.log(`there is no test in ${folder}`)
    return { passed: 0, failed: 1, pending: 0 }
  }
  const scratch = mkdtempSync(join(tmpdir(), 'sallyport-counts-'))
  const countsFile = join(scratch, 'counts.json')
  const ok = await runCommand(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      '--disable-warning=TimeoutNegativeWarning',
      'node_modules/mocha/bin/mocha.js',
      '--reporter',
      'test/support/count-reporter.ts',
      ...(process.env.CI === 'true' ? ['--forbid-only'] : []),
      ...files,
    ],
    { limitMs, env: { SALLYPORT_TEST_COUNTS: countsFile } },
  )
  const counts = readCounts(countsFile)
  rmSync(scratch, { recursive: true, force: true })
  const { passed, pending } = counts
  if (!counts.ended) console.log('mocha ended before its tests did')
  if (passed + counts.failed === 0) console.log(`no test of ${folder} ran`)
  const explained = counts.ended && passed + counts.failed > 0 && ok === (counts.failed === 0)
  return { passed, pending, failed: explained ? counts.failed : counts.failed + 1 }
}

function readCounts(file: string): Counts {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Counts
  } catch {
    return { passed: 0, failed: 0, pending: 0, ended: false }
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // Nothing of it is left.
  }
}
