import assert from 'node:assert/strict'
import { distribute, inOrderOfArrival, inOrderOfMoving } from '@sallyport/core/kafka/assigner'
import fc from 'fast-check'

const members = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 8 })

describe('co-partitioned assignment', () => {
  it('gives every partition to exactly one member, in shares that differ by at most one', () => {
    fc.assert(
      fc.property(
        members,
        fc.integer({ min: 1, max: 40 }),
        fc.array(fc.array(fc.nat(50))),
        (ids, count, owned) => {
          const shares = distribute(
            ids.map((memberId, i) => ({ memberId, owned: owned[i] ?? [] })),
            count,
          )
          const all = [...shares.values()].flat().sort((a, b) => a - b)
          assert.deepEqual(
            all,
            Array.from({ length: count }, (_, partition) => partition),
          )
          const sizes = [...shares.values()].map(share => share.length)
          assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1)
        },
      ),
    )
  })

  it('moves only the share of a member that leaves', () => {
    const before = distribute(
      ['a', 'b', 'c'].map(memberId => ({ memberId, owned: [] })),
      12,
    )
    const stay = ['a', 'b'].map(memberId => ({ memberId, owned: before.get(memberId) ?? [] }))
    const after = distribute(stay, 12)
    for (const { memberId, owned } of stay) {
      assert.ok(
        owned.every(partition => after.get(memberId)?.includes(partition)),
        `${memberId} kept its partitions`,
      )
    }
  })

  it('moves only the share of a member that joins', () => {
    const before = distribute(
      ['a', 'b'].map(memberId => ({ memberId, owned: [] })),
      12,
    )
    const after = distribute(
      ['a', 'b', 'c'].map(memberId => ({ memberId, owned: before.get(memberId) ?? [] })),
      12,
    )
    const moved = ['a', 'b'].flatMap(id =>
      (before.get(id) ?? []).filter(partition => !after.get(id)?.includes(partition)),
    )
    assert.deepEqual(
      moved.sort((a, b) => a - b),
      after.get('c'),
    )
  })

  it('a member that joins and dies again and again gets other partitions each time', () => {
    const held = new Map(['a', 'b'].map(id => [id, [] as number[]]))
    const told = () => [...held].map(([memberId, owned]) => ({ memberId, owned }))
    const settle = (shares: Map<string, number[]>) => {
      for (const [id, owned] of held) held.set(id, inOrderOfArrival(owned, shares.get(id) ?? []))
    }
    settle(distribute(told(), 6))
    const taken: number[] = []
    for (let i = 0; i < 3; i++) {
      const shares = distribute([...told(), { memberId: `short-lived ${i}`, owned: [] }], 6)
      taken.push(...(shares.get(`short-lived ${i}`) ?? []))
      settle(shares)
      settle(distribute(told(), 6))
    }
    assert.deepEqual(
      taken.sort((a, b) => a - b),
      [0, 1, 2, 3, 4, 5],
    )
  })

  it('a member that joins and dies more often than a restore takes keeps no partition from being acquired', () => {
    // Setup: one member with 12 partitions whose restores take 150 s; what stays goes on. Timeline: each minute another
    // member joins, gets half of them, and dies five seconds later. Proves: each partition runs for a time all the
    // same. Where the one that stayed longest always went first, each half moved every second minute.
    const count = 12
    const restoreMs = 150_000
    let now = 0
    let held: readonly number[] = []
    const since = new Map<number, number>()
    const ran = new Set<number>()
    const isAcquiring = (partition: number) => now - (since.get(partition) as number) < restoreMs
    const settle = (others: { memberId: string; owned: readonly number[] }[]) => {
      for (const partition of held) if (!isAcquiring(partition)) ran.add(partition)
      const owned = inOrderOfMoving(held, isAcquiring)
      const kept = distribute([{ memberId: 'a', owned }, ...others], count).get('a') ?? []
      for (const partition of kept) if (!held.includes(partition)) since.set(partition, now)
      held = inOrderOfArrival(held, kept)
    }
    settle([])
    for (let minute = 0; minute < 30; minute++) {
      settle([{ memberId: `short-lived ${minute}`, owned: [] }])
      now += 5_000
      settle([])
      now += 55_000
    }
    assert.equal(ran.size, count)
  })

  it('two members that claim the same partition do not both get it', () => {
    const shares = distribute(
      [
        { memberId: 'a', owned: [0, 1, 2, 3] },
        { memberId: 'zombie', owned: [0, 1, 2, 3] },
      ],
      4,
    )
    assert.equal(new Set([...shares.values()].flat()).size, 4)
  })
})
