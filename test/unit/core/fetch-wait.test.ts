import assert from 'node:assert/strict'
import { FetchWait } from '@sallyport/core/kafka/fetch-wait'

describe('how long a fetch waits', () => {
  let now: number
  let wait: FetchWait

  beforeEach(() => {
    now = 0
    wait = new FetchWait(60_000, () => now)
  })

  /** Passes time in which nothing comes. */
  function quiet(ms: number): void {
    now += ms
  }

  it('grows while nothing comes, up to its limit', () => {
    const waits: number[] = []
    for (let i = 0; i < 7; i++) {
      waits.push(wait.ms)
      quiet(wait.ms)
    }
    assert.deepEqual(waits, [100, 100, 200, 400, 800, 1_000, 1_000])
  })

  for (const [what, happens] of [
    ['a record', () => wait.moved()],
    ['a pause', () => wait.held('t', 0)],
    ['a resumption', () => wait.released('t', 0)],
    ['another assignment', () => wait.releasedAll()],
  ] as const) {
    it(`is short again with ${what}`, () => {
      quiet(5_000)
      assert.equal(wait.ms, 1_000)
      happens()
      assert.equal(wait.ms, 100)
    })
  }

  it('stays short while a place is held, and grows from its resumption on (M5)', () => {
    wait.held('t', 0)
    wait.held('t', 1)
    quiet(5_000)
    wait.released('t', 0)
    quiet(5_000)
    assert.equal(wait.ms, 100)
    wait.released('t', 1)
    quiet(300)
    assert.equal(wait.ms, 300)
  })

  it('does not last beyond the time when a heartbeat is due (M6)', () => {
    quiet(59_500)
    assert.equal(wait.ms, 500)
    quiet(500)
    assert.equal(wait.ms, 100)
    wait.beaten()
    assert.equal(wait.ms, 1_000)
  })

  it('is over for everybody once the consumer stops (M7)', async () => {
    const fetched = wait.unlessOver(new Promise<string[]>(() => {}))
    assert.deepEqual(await wait.unlessOver(Promise.resolve(['a record'])), ['a record'])
    wait.end()
    assert.deepEqual(await fetched, [])
  })
})
