import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs from 'kafkajs'
import { type Subscription, subscribe } from '../../services/subscriber/src/index.ts'
import { CannedGroup } from '../support/canned-group.ts'
import { waitFor } from '../support/wait-for.ts'

describe('a subscriber whose membership has lapsed', () => {
  const { consumer } = kafkajs.Kafka.prototype
  let group: CannedGroup
  let subscription: Subscription
  let passed: number[]
  /** Offsets at which the handler waits until it is let go. */
  let held: Map<number, PromiseWithResolvers<void>>

  beforeEach(async () => {
    group = new CannedGroup()
    group.records = 10
    group.generationId = 3
    kafkajs.Kafka.prototype.consumer = config => group.consumer(config as kafkajs.ConsumerConfig)
    passed = []
    held = new Map([[2, Promise.withResolvers<void>()]])
    subscription = await subscribe({
      brokers: ['unused:9092'],
      registry: { url: 'http://unused' },
      groupId: 'g',
      topics: ['t'],
      schema: 'event.v1',
      sessionTimeoutMs: 1_000,
      handler() {},
      async onPoison({ offset }) {
        passed.push(offset)
        await held.get(offset)?.promise
      },
    })
    await waitFor(() => passed.includes(2) && group.committed === '2')
  })
  afterEach(async () => {
    kafkajs.Kafka.prototype.consumer = consumer
    for (const { resolve } of held.values()) resolve()
    await subscription.stop()
  })

  /** The group has gone on without this member, which is told so at its next heartbeat. */
  async function goOnWithout(committed: string, place: { memberId?: string; generationId: number }) {
    group.committed = committed
    Object.assign(group, place)
    const { joins } = group
    group.beating = () => {
      if (group.joins > joins) return
      throw Object.assign(new Error('unknown'), { name: 'KafkaJSProtocolError', type: 'UNKNOWN_MEMBER_ID' })
    }
    await waitFor(() => group.joins > joins)
  }

  for (const [what, place] of [
    ['its membership', { memberId: 'm2', generationId: 5 }],
    ['a generation of which it never heard', { generationId: 5 }],
  ] as const)
    it(`reads on from what is committed, and commits nothing below it: ${what} went by`, async () => {
      // Setup: a member that has passed and committed two records of ten, and is at the third. Timeline: it is frozen;
      // another member takes over, passes eight and commits; the first one wakes, joins again, and gets the partition
      // back; its handler ends. Proves: it goes on at the ninth. Its lane used to go on: it handed six records over once
      // more, and committed 3 over 8, so that whoever had crashed then would have repeated them again.
      await goOnWithout('8', place)
      held.get(2)?.resolve()
      await waitFor(() => passed.includes(9) && group.committed === '10')
      assert.deepEqual(passed, [0, 1, 2, 8, 9])
      assert.ok(
        group.commits.slice(1).every(offset => Number(offset) > 8),
        group.commits.join(),
      )
    })

  it('goes on with its lanes where it only joined again, as in every rolling restart', async () => {
    await goOnWithout('2', { generationId: 4 })
    held.get(2)?.resolve()
    await waitFor(() => passed.includes(9))
    assert.deepEqual(passed, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  it('commits nothing of what it lost while it stops', async () => {
    // Setup: as above. Timeline: it is told to stop, and waits for its handler; its membership lapses, another member
    // commits 8, and it joins once more; the handler ends. Proves: its last commit does not put 3 over 8.
    const stopped = subscription.stop()
    await goOnWithout('8', { memberId: 'm2', generationId: 5 })
    held.get(2)?.resolve()
    await stopped
    await sleep(10)
    assert.equal(group.committed, '8')
  })
})
