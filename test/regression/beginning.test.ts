/** Where a consumer group begins. Each test states its setup, its timeline, and what it proves. */
import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { beginningAt } from '@sallyport/core/kafka/kafkajs-beginning'
import type kafkajs from 'kafkajs'
import ConsumerGroup, { type OffsetManager } from 'kafkajs/src/consumer/consumerGroup.js'

interface Commit {
  readonly groupGenerationId: number
  readonly topics: unknown
}

/** A member of a group of one topic, `t`, that has two partitions; its brokers' answers are canned. */
class CannedMember {
  readonly commits: Commit[] = []
  /** Errors that kafkajs was left to deal with. */
  readonly errors: unknown[] = []
  /** Offset of both partitions that the group has committed. */
  committed = '-1'
  /** Where both partitions end; each look waits for it. */
  end: Promise<string> = Promise.resolve('5')
  generation = 1
  settled = 0
  readonly group: ConsumerGroup & { offsetManager: OffsetManager; topicsSubscribed: readonly string[] }

  constructor(leaderId: string) {
    const cluster = {
      refreshMetadataIfNecessary: async () => {},
      findTopicPartitionMetadata: () => [{ partitionId: 0 }, { partitionId: 1 }],
      fetchTopicsOffset: async () => this.#at(await this.end),
    } as unknown as kafkajs.Cluster
    const beginning = { fromBeginning: false, settled: () => void this.settled++ }
    beginningAt(
      beginning,
      () => ({}) as kafkajs.Assigner,
    )({ cluster, groupId: 'g', logger: {} as kafkajs.Logger })
    const group = {
      cluster,
      groupId: 'g',
      leaderId,
      maxWaitTime: 1,
      offsetManager: this.#manager(),
      topics: ['t'],
      topicsSubscribed: ['t'],
      recoverFromFetch: async (error: unknown) => void this.errors.push(error),
    }
    this.group = Object.assign(Object.create(ConsumerGroup.prototype) as ConsumerGroup, group)
  }

  /** The group has been joined again. */
  rejoin(): void {
    this.generation++
    this.group.offsetManager = this.#manager()
  }

  #at(offset: string) {
    return [{ topic: 't', partitions: [0, 1].map(partition => ({ partition, offset })) }]
  }

  #manager(): OffsetManager {
    const coordinator = {
      offsetFetch: async () => ({ responses: this.#at(this.committed) }),
      offsetCommit: async (commit: Commit) => {
        // As a broker does.
        if (commit.groupGenerationId !== this.generation) throw new Error('ILLEGAL_GENERATION')
        this.commits.push(commit)
      },
    } as unknown as kafkajs.Broker
    return {
      generationId: this.generation,
      memberId: 'me',
      getCoordinator: async () => coordinator,
      commitOffsets: async () => {},
    }
  }
}

describe('a group that begins', () => {
  it('a rebalance between the look at the ends and the commit leaves the offsets as they are (J9)', async () => {
    // Setup: the leader of a group without offsets, and two brokers. Timeline: it looks where the partitions end; a
    // fetch from the other broker joins again; a new leader has settled the beginning, and a record was passed; the
    // answer comes. Proves: the commit is the old generation's, and is refused. Under the new one it would be taken, and
    // move the offset past what another member has not read, or back.
    const member = new CannedMember('me')
    const ends = Promise.withResolvers<string>()
    member.end = ends.promise
    const fetched = member.group.fetch(0)
    await turn()
    member.rejoin()
    member.committed = '3'
    ends.resolve('5')
    assert.deepEqual(await fetched, [])
    assert.match(String(member.errors), /ILLEGAL_GENERATION/)
    assert.deepEqual([member.commits, member.settled], [[], 0])
  })

  it('two brokers that are fetched from side by side settle one beginning (J9)', async () => {
    // Setup: the leader of a group without offsets, and two brokers. Timeline: the fetches from both begin; a record
    // comes between the looks of the two. Proves: there is one look and one commit. With two, the second would lie behind
    // a record that the first fetch hands over, and a crash would lose it.
    const member = new CannedMember('me')
    await Promise.allSettled([member.group.fetch(0), member.group.fetch(1)])
    assert.deepEqual(
      member.commits.map(({ groupGenerationId }) => groupGenerationId),
      [1],
    )
  })

  it('a member that does not lead fetches nothing before the leader has settled the beginning (J9)', async () => {
    // Setup: a member of a group without offsets that another one leads. Timeline: it fetches; the leader commits; it
    // fetches again. Proves: it neither commits nor fetches first, and goes on then. Otherwise it would read all that the
    // topic keeps.
    const member = new CannedMember('leader')
    assert.deepEqual(await member.group.fetch(0), [])
    assert.deepEqual([member.errors, member.settled], [[], 0])
    member.committed = '5'
    // kafkajs's own fetch, which finds none of its parts here.
    await member.group.fetch(0).catch(() => {})
    assert.deepEqual([member.commits, member.settled], [[], 1])
  })

  it('a member whose leader does not know a topic yet goes on with the others (J9)', async () => {
    // Setup: a deployment that adds a topic; the leader is an old member. Timeline: a new member joins, and is assigned
    // nothing of the new topic. Proves: it does not wait for an offset there, which nobody would commit.
    const member = new CannedMember('leader')
    member.committed = '5'
    member.group.topicsSubscribed = ['t', 'new']
    await member.group.fetch(0).catch(() => {})
    assert.equal(member.settled, 1)
  })
})
