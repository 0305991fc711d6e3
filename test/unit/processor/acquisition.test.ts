import assert from 'node:assert/strict'
import type { TaskProducer } from '@sallyport/core/kafka/task-producer'
import { Acquisition, type AcquisitionDependencies } from '@sallyport/processor/acquisition'
import { ClaimsBudget } from '@sallyport/processor/claims-budget'

describe('acquisition', () => {
  it('a partition that is lost while the claims’ start is looked up ends at once', async () => {
    // Setup: the barrier is written. Timeline: the look-up of the claims' start is under way; the partition is lost; the
    // look-up answers. Proves: the wait for the restore does not begin, on a signal that has long been given, and no
    // memory is taken that nobody gives back: a process that lost partitions so would take in no more events one day.
    const lost = new AbortController()
    const start = Promise.withResolvers<number>()
    let reads = 0
    const claimsBudget = new ClaimsBudget(1, () => {})
    const deps = {
      claimsTopic: 'claims',
      schemas: { claim: 1, positions: 2, barrier: 3 },
      registry: {
        register: async () => 1,
        check: async () => ({ kind: 'new' as const }),
        find: async () => undefined,
      },
      claimsStart: () => start.promise,
      readFrom: () => {
        reads++
      },
      pause: () => {},
      resume: () => {},
      checkpoints: undefined,
      claimsBudget,
    } satisfies AcquisitionDependencies
    const producer = { transact: async () => {} } as unknown as TaskProducer
    const acquisition = new Acquisition(0, deps, lost.signal)
    const acquiring = acquisition.run(producer)
    lost.abort(new Error('lost'))
    acquisition.close()
    start.resolve(0)
    await assert.rejects(acquiring, /lost/)
    assert.equal(reads, 0)
    assert.equal(claimsBudget.isSpent, false)
  })
})
