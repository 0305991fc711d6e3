import assert from 'node:assert/strict'
import { BrokerClock } from '@sallyport/core/clock'
import type { PartitionWrites, ProduceRecord } from '@sallyport/core/kafka/produce-record'
import type { TaskProducer } from '@sallyport/core/kafka/task-producer'
import { Acquisition, type AcquisitionDependencies } from '@sallyport/processor/acquisition'
import { ClaimsBudget } from '@sallyport/processor/claims-budget'
import { BARRIER_KEY, claimRecord } from '@sallyport/processor/claims-record'

function dependencies(given: Partial<AcquisitionDependencies>): AcquisitionDependencies {
  return {
    claimsTopic: 'claims',
    schemas: { claim: 1, positions: 2, barrier: 3 },
    registry: {
      register: async () => 1,
      check: async () => ({ kind: 'new' as const }),
      find: async () => undefined,
      glance: async () => undefined,
      recall: async () => {},
    },
    claimsStart: async () => 0,
    claimsEnd: async () => undefined,
    readFrom: () => {},
    pause: () => {},
    close: () => {},
    resume: () => {},
    checkpoints: undefined,
    brokerClock: new BrokerClock(Date.now),
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

  it('reads on behind what it took after a new assignment, and takes nothing twice', async () => {
    // Setup: a restore that has taken a first batch of claims. Timeline: a new assignment comes, after which the consumer
    // has forgotten where it was; a batch that was under way repeats what was taken, with the barrier behind it. Proves:
    // the reading goes on behind the first batch, and a claim that is older does not come after a newer one.
    const from: number[] = []
    let barrier: Buffer | null = null
    const producer = {
      async transact({ records }: PartitionWrites) {
        barrier = records[0]?.value ?? null
        return 3
      },
      async close() {},
    } as unknown as TaskProducer
    const deps = dependencies({
      claimsBudget: new ClaimsBudget(1e6, () => {}),
      readFrom: (_, positions) => from.push(positions.get('claims') as number),
    })
    const acquisition = new Acquisition(0, deps, new AbortController().signal)
    const acquiring = acquisition.run(producer)
    while (from.length === 0) await new Promise(resolve => setImmediate(resolve))
    const claim = (offset: number, attempt: number) => {
      const claim = { state: 'PENDING', generation: 0, attempt, windowMs: 1e12, at: 1 } as const
      return { ...claimRecord(1, Buffer.from('id'), claim), offset }
    }
    const batch = (records: readonly (ProduceRecord & { offset: number })[], nextOffset: number) => ({
      topic: 'claims',
      partition: 0,
      nextOffset,
      highWatermark: 3,
      records: records.map(({ key, value, offset }) => {
        return { topic: 'claims', partition: 0, offset, timestamp: 1, key, value, headers: {} }
      }),
    })
    acquisition.offer(batch([claim(0, 1), claim(1, 2)], 2))
    acquisition.readOn()
    const last = { key: Buffer.from(BARRIER_KEY), value: barrier, headers: {}, offset: 2 }
    acquisition.offer(batch([claim(0, 1), last], 3))
    const { claims } = await acquiring
    assert.deepEqual(from, [0, 2])
    assert.equal(claims.get('id', 1)?.attempt, 2)
    acquisition.close()
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
