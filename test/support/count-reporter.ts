import { writeFileSync } from 'node:fs'
import Mocha from 'mocha'
import { lastWords } from './processor-process.ts'

/** What one mocha run came to so far; `ended` is missing when mocha died on the way. */
export interface Counts {
  passed: number
  failed: number
  pending: number
  ended: boolean
  /** Of each failed test its titles, and what was wrong. */
  failures: string[]
}

const { EVENT_RUN_END, EVENT_TEST_END, EVENT_TEST_FAIL, EVENT_TEST_PASS, EVENT_TEST_PENDING } =
  Mocha.Runner.constants

const FAILURE_LENGTH_MAX = 1_500
const WORDS_LENGTH_MAX = 3_000

/**
 * mocha's own reporter, with what a failed test's processes logged last, and beside it the counts in the file that
 * `SALLYPORT_TEST_COUNTS` names, written after every test so that a crash loses none. A failing hook counts as a failure,
 * as in mocha itself.
 */
export default class CountReporter extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options?: Mocha.MochaOptions) {
    super(runner, options)
    let words: string[] = []
    runner.on(EVENT_TEST_FAIL, () => {
      words = lastWords()
      for (const text of words) console.log(text)
    })
    runner.on(EVENT_TEST_END, lastWords)
    const file = process.env.SALLYPORT_TEST_COUNTS
    if (file === undefined) return
    const counts: Counts = { passed: 0, failed: 0, pending: 0, ended: false, failures: [] }
    const count = (change: Partial<Counts>) => {
      Object.assign(counts, change)
      writeFileSync(file, JSON.stringify(counts))
    }
    count({})
    runner.on(EVENT_TEST_PASS, () => count({ passed: counts.passed + 1 }))
    runner.on(EVENT_TEST_FAIL, (test, error) => {
      const why = String(error.stack ?? error.message).slice(0, FAILURE_LENGTH_MAX)
      const failure = [test.titlePath().join(': '), why, ...words.map(text => text.slice(-WORDS_LENGTH_MAX))]
      count({ failed: counts.failed + 1, failures: [...counts.failures, failure.join('\n')] })
    })
    runner.on(EVENT_TEST_PENDING, () => count({ pending: counts.pending + 1 }))
    runner.on(EVENT_RUN_END, () => count({ ended: true }))
  }
}
