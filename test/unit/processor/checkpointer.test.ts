import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import type { Checkpoint } from '@sallyport/processor/checkpoint'
import { Checkpointer } from '@sallyport/processor/checkpointer'
import { ClaimStore } from '@sallyport/processor/claim-store'
import { ClaimsBudget } from '@sallyport/processor/claims-budget'
import { keptLog } from '../../support/ingress.ts'

const INTERVAL_MS = 60_000
const TAIL_RECORDS_MAX = 50_000

describe('a checkpoint that cannot be saved', () => {
  let now = 0
  let isFull = true
  let saves = 0
  let failed = 0
  const file = {
    async save() {
      saves++
      if (!isFull) return true
      failed++
      throw new Error('database or disk is full')
    },
    close() {},
  } as unknown as Checkpoint

  beforeEach(() => {
    now = 0
    isFull = true
    saves = 0
    failed = 0
  })

  function checkpointer(savedOffset: number | undefined) {
    const { lines, log } = keptLog()
    const claims = new ClaimStore(new ClaimsBudget(1_000_000, () => {}))
    return { lines, it: new Checkpointer({ file, savedOffset }, claims, INTERVAL_MS, () => now, log) }
  }

  /** Transactions one after the other, each time until a save that they began has ended. */
  async function settle(it: Checkpointer, offset: number, times: number): Promise<void> {
    for (let i = 0; i < times; i++) {
      it.settled({ offset: offset + i, positions: [], at: 0, hasLeft: false })
      await turn()
    }
  }

  const BEGINNINGS = { 'there is none yet': undefined, 'its tail is long': 0 }
  for (const [what, savedOffset] of Object.entries(BEGINNINGS)) {
    it(`is tried again after the interval, not after each transaction, also where ${what}`, async () => {
      const { it, lines } = checkpointer(savedOffset)
      await settle(it, TAIL_RECORDS_MAX, 10)
      assert.equal(failed, 1)
      assert.equal(lines.filter(line => line.includes('the checkpoint was not saved')).length, 1)
      now += INTERVAL_MS
      await settle(it, TAIL_RECORDS_MAX, 10)
      assert.equal(failed, 2)
    })
  }

  it('is saved as ever once it can be: at the interval, and when its tail is long', async () => {
    const { it } = checkpointer(undefined)
    await settle(it, 1, 1)
    isFull = false
    now += INTERVAL_MS
    await settle(it, 1, 10)
    assert.deepEqual([failed, saves], [1, 2])
    await settle(it, 1 + TAIL_RECORDS_MAX, 10)
    assert.equal(saves, 3)
  })
})
