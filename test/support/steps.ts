import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, globSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Counts } from './count-reporter.ts'

/** What one step of the tests came to. */
export interface StepResult {
  readonly passed: number
  readonly failed: number
  readonly pending: number
  /** For people: which tests failed, and why. */
  readonly failures: readonly string[]
}

const running = new Set<number>()
// Each step is a process group of its own, so that what it leaves behind goes with it, however we end.
process.on('exit', () => running.forEach(killGroup))

/**
 * Runs a command with its output passed through, or written to `outputFile`. True when it ended well within `limitMs`.
 */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: { limitMs: number; env?: NodeJS.ProcessEnv; outputFile?: string },
): Promise<boolean> {
  const output = options.outputFile === undefined ? 'inherit' : openSync(options.outputFile, 'w')
  const child = spawn(command, args, {
    stdio: ['ignore', output, output],
    detached: true,
    env: { ...process.env, ...options.env },
  })
  if (typeof output === 'number') closeSync(output)
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

/**
 * Runs the test files of a folder with mocha and counts them. No test, and a mocha that died, count as failed. With
 * several `lanes` the files are dealt to as many processes at once, each with a cluster of its own: tests on brokers
 * mostly wait. The first lane is shown as it runs, the others when it has ended. Temporary files of tests are removed
 * with the run.
 */
export async function runMocha(folder: string, limitMs: number, lanes = 1): Promise<StepResult> {
  const files = globSync(`${folder}/**/*.test.ts`).sort()
  if (files.length === 0) {
    console.log(`there is no test in ${folder}`)
    return { passed: 0, failed: 1, pending: 0, failures: [`there is no test in ${folder}`] }
  }
  const scratch = mkdtempSync(join(tmpdir(), 'sallyport-tests-'))
  mkdirSync(join(scratch, 'tmp'))
  try {
    const dealt = Array.from({ length: lanes }, (_, lane) => files.filter((_, i) => i % lanes === lane))
    const running = dealt.map((share, lane) => runLane(share, limitMs, join(scratch, String(lane)), lane > 0))
    const results: StepResult[] = []
    for (const [lane, result] of running.entries()) {
      results.push(await result)
      if (lane > 0) process.stdout.write(readFileSync(outputOf(join(scratch, String(lane)))))
    }
    const sum = (part: 'passed' | 'failed' | 'pending') =>
      results.reduce((total, result) => total + result[part], 0)
    const failures = results.flatMap(result => result.failures)
    return { passed: sum('passed'), failed: sum('failed'), pending: sum('pending'), failures }
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

function outputOf(scratch: string): string {
  return `${scratch}.output`
}

async function runLane(
  files: readonly string[],
  limitMs: number,
  scratch: string,
  quiet: boolean,
): Promise<StepResult> {
  const countsFile = `${scratch}.json`
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
    {
      limitMs,
      env: { SALLYPORT_TEST_COUNTS: countsFile, TMPDIR: join(dirname(scratch), 'tmp') },
      ...(quiet ? { outputFile: outputOf(scratch) } : {}),
    },
  )
  const counts = readCounts(countsFile)
  const { passed, pending, failures } = counts
  if (!counts.ended) console.log('mocha ended before its tests did')
  if (passed + counts.failed === 0) console.log(`none of ${files.join(', ')} ran`)
  const explained = counts.ended && passed + counts.failed > 0 && ok === (counts.failed === 0)
  if (explained) return { passed, pending, failed: counts.failed, failures }
  const unexplained = `mocha did not end as its tests did; its files: ${files.join(', ')}`
  return { passed, pending, failed: counts.failed + 1, failures: [...failures, unexplained] }
}

function readCounts(file: string): Counts {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Counts
  } catch {
    return { passed: 0, failed: 0, pending: 0, ended: false, failures: [] }
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // Nothing of it is left.
  }
}
