import assert from 'node:assert/strict'
import { settlementOf, takenEvents, testSettleQueue } from '../support/settle-queue.ts'

describe('claims that are written again', () => {
  it('a claim is never written ahead of its retry record (X1)', async () => {
    // Setup: the first attempts at 2,500 events have failed at once: more than one transaction takes. Timeline: while
    // they wait the refresh of PENDING claims comes, and is in the first transaction. Proves: it leaves out the claims
    // whose outcomes wait for the second. With them, an owner that died between the two would leave events that are
    // PENDING without a retry record: their own records would be duplicates to its successor, and they were lost.
    const { queue, intake, claims, written } = testSettleQueue()
    const failure = {
      kind: 'retryable',
      code: 'SP_HANDLER_FAILED',
      message: 'not yet',
      blamesDependency: true,
    } as const
    const taken = takenEvents(intake, 2_500)
    for (const eventRecord of taken) {
      const settlement = settlementOf(eventRecord, { kind: 'retry', tier: 0, failure })
      if (settlement.claim !== null) claims.decide(eventRecord.event.id, settlement.claim)
      queue.add(settlement)
    }
    queue.refresh()
    await queue.idle()
    assert.equal(written.length, 2)
    const retried = new Set<string>()
    for (const transaction of written) {
      for (const id of transaction.others) retried.add(id)
      for (const id of transaction.claimed) {
        assert.ok(retried.has(id), `the claim of ${id} was written, its retry record was not`)
      }
    }
    assert.equal(retried.size, taken.length)
  })
})
