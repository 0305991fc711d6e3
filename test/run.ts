/**
 * `npm test [STEP…]`: every step, or those that are named; what failed comes again at the end, and the last line is
 * `N passed, N failed`.
 *
 * types → lint → unit → property → conformance → regression → integration → containers
 *
 * A type check and a lint count as one test each. Container tests run where a Docker engine answers; elsewhere
 * they are skipped, except with CI=true, where a missing engine is a failure.
 */
import { existsSync } from 'node:fs'
import { runToEnd } from 'sallyport/broker/daemon'
import { runCommand, runMocha, type StepResult } from './support/steps.ts'

const MINUTE_MS = 60_000
const NOTHING: StepResult = { passed: 0, failed: 0, pending: 0, failures: [] }
const PASSED: StepResult = { ...NOTHING, passed: 1 }

const STEPS: Readonly<Record<string, () => Promise<StepResult>>> = {
  types: () => check('node_modules/.bin/tsc', ['-p', 'tsconfig.json']),
  lint: () => check('node_modules/.bin/biome', ['check', '--error-on-warnings', '.']),
  unit: () => runMocha('test/unit', 10 * MINUTE_MS),
  property: () => optional('test/property', 5 * MINUTE_MS),
  conformance: () => optional('test/conformance', 5 * MINUTE_MS),
  regression: () => optional('test/regression', 20 * MINUTE_MS, 2),
  integration: () => runMocha('test/integration', 35 * MINUTE_MS, 2),
  containers,
}

async function main(names: readonly string[]): Promise<void> {
  const unknown = names.filter(name => !(name in STEPS))
  if (unknown.length > 0) {
    console.error(`there is no step ${unknown.join(', ')}: choose from ${Object.keys(STEPS).join(', ')}`)
    process.exit(2)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130))
  const startedAt = performance.now()
  const results: StepResult[] = []
  for (const [name, step] of Object.entries(STEPS)) {
    if (names.length === 0 || names.includes(name)) results.push(await runStep(name, step))
  }
  const sum = (part: 'passed' | 'failed' | 'pending') =>
    results.reduce((total, result) => total + result[part], 0)
  const failures = results.flatMap(result => result.failures)
  if (failures.length > 0) console.log(['', '=== what failed', ...failures].join('\n\n'))
  console.log(
    `\nall steps: ${elapsed(startedAt)}${sum('pending') > 0 ? `, ${sum('pending')} tests skipped` : ''}`,
  )
  console.log(`${sum('passed')} passed, ${sum('failed')} failed`)
  process.exit(sum('failed') > 0 || sum('passed') === 0 ? 1 : 0)
}

async function runStep(name: string, step: () => Promise<StepResult>): Promise<StepResult> {
  const startedAt = performance.now()
  console.log(`\n=== ${name}`)
  const result = await step()
  console.log(`--- ${name}: ${result.passed} passed, ${result.failed} failed in ${elapsed(startedAt)}`)
  return result
}

async function check(command: string, args: readonly string[]): Promise<StepResult> {
  const isGood = await runCommand(command, args, { limitMs: 5 * MINUTE_MS })
  return isGood ? PASSED : failed(`${command} ${args.join(' ')}`)
}

/** A suite that need not exist. */
async function optional(folder: string, limitMs: number, lanes = 1): Promise<StepResult> {
  return existsSync(folder) ? await runMocha(folder, limitMs, lanes) : NOTHING
}

async function containers(): Promise<StepResult> {
  const { code } = await runToEnd('docker', ['info'], { timeoutMs: 10_000 })
  if (code !== 0) {
    const needed = process.env.CI === 'true'
    console.log(
      `container tests: ${needed ? '0 ran: no Docker, and CI=true asks for it' : 'skipped: no Docker'}`,
    )
    return needed ? failed('the container tests found no Docker') : NOTHING
  }
  const result = await runMocha('test/containers', 15 * MINUTE_MS)
  console.log(`container tests: ${result.passed + result.failed} ran`)
  return result
}

function failed(why: string): StepResult {
  return { ...NOTHING, failed: 1, failures: [why] }
}

function elapsed(startedAt: number): string {
  return `${((performance.now() - startedAt) / 1000).toFixed(1)} s`
}

await main(process.argv.slice(2))
