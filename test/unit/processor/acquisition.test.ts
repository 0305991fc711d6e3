import assert from 'node:assert/strict'
import type { TaskProducer } from '@sallyport/core/kafka/task-producer'
import { Acquisition, type AcquisitionDependencies } from '@sallyport/processor/acquisition'
import { ClaimsBudget } from '@sallyport/processor/claims-budget'

function dependencies(given: Partial<AcquisitionDependencies>): AcquisitionDependencies {
  return {
    claimsTopic: 'claims',
    schemas: { claim: 1, positions: 2, barrier: 3 },
    registry: {
      register: async () => 1,
      check: async () => ({ kind: 'new' as const }),
      find: async () => undefined,
    },
    claimsStart: async () => 0,
    claimsEnd: async () => undefined,
    readFrom: () => {},
    pause: () => {},
    resume: () => {},
    checkpoints: undefined,
    claimsBudget: new ClaimsBudget(1, () => {}),
    ...given,
  }
}

describe('acquisition', () => {
  it('a partition that is lost while the claims’ start is looked up ends at once', async () => {
    // Setup: the barrier is written. Timeline: the look-up of the claims' start is under way; the partition is lost; the
    // look-up answers. Proves: the wait for the restore does not begin, on a signal that has long been given, and no
    // memory is taken that nobody gives back: a process that lost partitions so would take in no more events one day.
    const lost = new AbortController()
    const start = Promise.withResolvers<number>()
    let reads = 0
    const claimsBudget = new ClaimsBudget(1, () => {})
    const deps = dependencies({
      claimsStart: () => start.promise,
      readFrom: () => {
        reads++
      },
      claimsBudget,
    })
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

  const ends = [
    {
      stableOffset: 4,
      highWatermark: 9,
      says: /SP_STALLED: claims\/0 cannot be read beyond 4, .*find-hanging/,
    },
    { stableOffset: 9, highWatermark: 9, says: /SP_RESTORE: the claims topic brought nothing/ },
  ]
  for (const { says, ...end } of ends) {
    it(`that brings nothing says why: stable up to ${end.stableOffset} of ${end.highWatermark}`, async () => {
      const deps = dependencies({ claimsEnd: async partition => ({ topic: 'claims', partition, ...end }) })
      const producer = { transact: async () => 9 } as unknown as TaskProducer
      const acquisition = new Acquisition(0, deps, new AbortController().signal, 20)
      await assert.rejects(acquisition.run(producer), says)
      acquisition.close()
    })
  }

  it('whose claims’ end cannot be had still ends', async () => {
    const deps = dependencies({ claimsEnd: () => Promise.reject(new Error('away')) })
    const producer = { transact: async () => 9 } as unknown as TaskProducer
    const acquisition = new Acquisition(0, deps, new AbortController().signal, 20)
    await assert.rejects(acquisition.run(producer), { code: 'SP_RESTORE' })
    acquisition.close()
  })
})
