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

  it('are spread over transactions, none is forgotten, and none comes back that was settled meanwhile (N2, X1)', async () => {
    // Setup: 9,000 events are PENDING. Timeline: they are to be written again; while the first transaction is under way
    // one of them is settled, whose turn has not come, and the refresh of a quarter of a window later is asked for.
    // Proves: no transaction has more than 2,000 of them, so that none takes long; each is written in both rounds, but
    // for the settled one: PENDING behind its DONE it would be, to the next owner, an event that waits for a retry
    // record that has been settled, and its repetitions would be duplicates for ever.
    const { queue, claims, written } = testSettleQueue(async () => {
      if (written.length > 1) return
      claims.set('8000', settled, 0)
      queue.refresh()
    })
    const settled = { state: 'DONE', generation: 0, attempt: 2, windowMs: 1, at: 0 } as const
    const ids = Array.from({ length: 9_000 }, (_, i) => String(i))
    for (const id of ids) claims.set(id, { ...settled, state: 'PENDING' }, 0)
    queue.refresh()
    await queue.idle()
    assert.ok(Math.max(...written.map(({ claimed }) => claimed.length)) <= 2_000)
    const left = ids.filter(id => id !== '8000')
    assert.deepEqual(
      written.flatMap(({ claimed }) => claimed),
      [...left, ...left],
    )
  })

  it('are left to the next owner when the task is drained', async () => {
    // Setup: 9,000 events are PENDING. Timeline: the task is drained during the first transaction that writes them
    // again. Proves: that does not wait for all of them, but for the transaction that says that it has drained; the next
    // owner begins with the rest.
    const finished = Promise.withResolvers<void>()
    const { queue, claims, written } = testSettleQueue(async () => {
      if (written.length === 1) finished.resolve(queue.finish())
    })
    const claim = { state: 'PENDING', generation: 0, attempt: 2, windowMs: 1, at: 0 } as const
    for (let i = 0; i < 9_000; i++) claims.set(String(i), claim, 0)
    queue.refresh()
    await finished.promise
    assert.deepEqual(
      written.map(({ claimed }) => claimed.length),
      [2_000, 0],
    )
  })
})
