import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { GroupConsumer, type GroupListener, type GroupSettings } from '@sallyport/core/kafka/group-consumer'
import { createLog } from '@sallyport/core/log'
import type kafkajs from 'kafkajs'
import { CannedGroup } from '../../support/canned-group.ts'
import { waitFor } from '../../support/wait-for.ts'

/** The shortest wait of a fetch, ms. */
const SHORT_MS = 100

const SETTINGS: GroupSettings = {
  groupId: 'g',
  topics: ['t'],
  sessionTimeoutMs: 200,
  memberSettings: '',
  process: '',
  partitionBytesMax: 1,
}

describe('a group’s consumer', () => {
  it('that is stopped while it connects does not join', async () => {
    // Setup: no connection yet. Timeline: it connects; it is stopped; the connection is there. Proves: it closes that
    // one, and does not become a member that nobody ends.
    const connected = Promise.withResolvers<void>()
    const calls: string[] = []
    const consumer = {
      events: {},
      on: () => {},
      connect: () => connected.promise,
      subscribe: async () => {},
      run: async () => void calls.push('run'),
      disconnect: async () => void calls.push('disconnect'),
    }
    const kafka = { consumer: () => consumer } as unknown as kafkajs.Kafka
    const member = new GroupConsumer(kafka, SETTINGS, {} as GroupListener, createLog('test'))
    const started = member.start()
    await member.stop()
    connected.resolve()
    await started
    assert.deepEqual(calls, ['disconnect', 'disconnect'])
  })

  it('takes what it is told between kafkajs’s stop and its crash', async () => {
    // Setup: a member. Timeline: its coordinator goes; kafkajs gives its group up and disconnects; the tasks, which do not
    // know yet, pause, resume and seek; kafkajs says that it has crashed. Proves: the member has failed, and nothing
    // was thrown. Tasks do this in timers, where an exception ended the process.
    const group = new CannedGroup()
    const failed = Promise.withResolvers<Error>()
    const told: unknown[] = []
    const member = new GroupConsumer(
      group.kafka,
      SETTINGS,
      {
        inOrderOfMoving: partitions => [...partitions],
        joined() {},
        fetched: () => undefined,
        passed() {},
        outOfRange() {},
        assigned() {},
        failed: failed.resolve,
      },
      createLog('test'),
    )
    group.disconnecting = () => {
      for (const tell of [
        () => member.pause(0, ['t']),
        () => member.resume(0, ['t']),
        () => member.readFrom(0, new Map([['t', 1]])),
      ]) {
        try {
          tell()
        } catch (error) {
          told.push(error)
        }
      }
    }
    await member.start()
    group.isAway = true
    assert.match((await failed.promise).message, /no broker/)
    assert.deepEqual(told, [])
    await member.stop()
  })

  it('that is stopped while it joins is no member afterwards', async () => {
    // Setup: a consumer whose first join is not answered yet. Timeline: it is stopped; the coordinator answers that it is
    // none any more; kafkajs connects again, and joins. Proves: kafkajs gives up, and closes that connection too. It used
    // to fetch and to send heartbeats until the process ended: a member that held its partitions and did nothing.
    const group = new CannedGroup()
    const joining = Promise.withResolvers<void>()
    const answer = Promise.withResolvers<void>()
    group.joining = () => {
      joining.resolve()
      return answer.promise
    }
    const member = new GroupConsumer(
      group.kafka,
      SETTINGS,
      {
        inOrderOfMoving: partitions => [...partitions],
        joined() {},
        fetched: () => undefined,
        passed() {},
        outOfRange() {},
        assigned() {},
        failed: assert.fail,
      },
      createLog('test'),
    )
    const started = member.start()
    await joining.promise
    await member.stop()
    group.joining = () => {}
    answer.reject(Object.assign(new Error('moved'), { type: 'NOT_COORDINATOR_FOR_GROUP' }))
    await started
    assert.deepEqual([group.joins, group.connected, group.fetches], [2, false, []])
  })

  describe('that is idle', () => {
    let group: CannedGroup
    let member: GroupConsumer
    let waits: number[]
    /** Resolves with the first fetch of a longer wait. */
    let grown: PromiseWithResolvers<void>

    beforeEach(async () => {
      group = new CannedGroup()
      waits = []
      grown = Promise.withResolvers()
      group.waiting = async ms => {
        waits.push(ms)
        if (ms > SHORT_MS) grown.resolve()
        await sleep(20)
      }
      const listener: GroupListener = {
        inOrderOfMoving: partitions => [...partitions],
        joined() {},
        fetched: ({ nextOffset }) => nextOffset,
        passed() {},
        outOfRange() {},
        assigned() {},
        failed: assert.fail,
      }
      member = new GroupConsumer(
        group.kafka,
        { ...SETTINGS, sessionTimeoutMs: 10_000 },
        listener,
        createLog('test'),
      )
      await member.start()
      member.readFrom(0, new Map([['t', 0]]))
      await grown.promise
    })
    afterEach(() => member.stop())

    /** How long the next fetch waits. */
    async function nextWait(): Promise<number | undefined> {
      const { length } = waits
      await waitFor(() => waits.length > length)
      return waits[length]
    }

    for (const [what, happens] of [
      ['a record comes', () => group.records++],
      ['a place is paused and resumed', () => [member.pause(0, ['t']), member.resume(0, ['t'])]],
      ['it reads elsewhere', () => member.readFrom(0, new Map([['t', 0]]))],
    ] as const) {
      it(`fetches with ever longer waits, and with a short one once ${what}`, async () => {
        await waitFor(() => (waits.at(-1) ?? 0) > 2 * SHORT_MS)
        happens()
        assert.equal(await nextWait(), SHORT_MS)
      })
    }

    it('waits long beside a place that it reads no more, and not beside one that it will read on', async () => {
      member.close(0, ['u'])
      await waitFor(() => (waits.at(-1) ?? 0) > 2 * SHORT_MS)
      member.pause(0, ['u'])
      await sleep(4 * SHORT_MS)
      assert.equal(waits.at(-1), SHORT_MS)
    })

    it('leaves its group without waiting for the fetch that is under way', async () => {
      // Setup: a member whose fetch is not answered. Timeline: it is stopped. Proves: it has left before any answer, and
      // the answer, an error for which kafkajs joins again, makes it no member. It used to leave behind the answer.
      const answer = Promise.withResolvers<void>()
      const asked = Promise.withResolvers<void>()
      group.waiting = () => {
        asked.resolve()
        return answer.promise
      }
      await asked.promise
      const startedAt = performance.now()
      await member.stop()
      assert.ok(performance.now() - startedAt < 1_000)
      answer.reject(Object.assign(new Error('moved'), { type: 'NOT_LEADER_FOR_PARTITION' }))
      await sleep(100)
      assert.equal(group.joins, 1)
    })
  })
})
