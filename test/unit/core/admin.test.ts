import assert from 'node:assert/strict'
import { ensureTopics, topicBounds, withAdmin } from '@sallyport/core/kafka/admin'
import type { TopicSpec } from '@sallyport/core/topics'
import type kafkajs from 'kafkajs'

/** Beyond it the test ends what would never end. */
const REQUESTS_MAX = 20

describe('topics that are created', () => {
  const specs = ['one', 'two'].map(
    (name): TopicSpec => ({ name, partitions: 1, cleanup: 'delete', retentionMs: 1, recordBytesMax: 1 }),
  )

  /** A broker that never lists what it was asked for; `outcomes`: of the requests, the last one of all further ones. */
  function cluster(outcomes: readonly ('done' | 'unheard of')[]) {
    const requests: string[][] = []
    const admin = {
      connect: async () => {},
      disconnect: async () => {},
      describeCluster: async () => ({ brokers: [{}] }),
      listTopics: async () => [],
      async fetchTopicMetadata({ topics }: { topics: readonly string[] }) {
        return { topics: topics.map(name => ({ name, partitions: [{ leader: 0 }] })) }
      },
      async createTopics({ topics }: { topics: readonly { topic: string }[] }) {
        const outcome = outcomes[Math.min(requests.length, outcomes.length - 1)]
        requests.push(topics.map(({ topic }) => topic))
        if (outcome === 'done' || requests.length === REQUESTS_MAX) return true
        throw Object.assign(new Error('This server does not host this topic-partition'), {
          type: 'UNKNOWN_TOPIC_OR_PARTITION',
        })
      },
    }
    return { requests, kafka: { admin: () => admin } as unknown as kafkajs.Kafka }
  }

  it('are asked for once more where a broker has not heard of them yet', async () => {
    const { requests, kafka } = cluster(['unheard of', 'done'])
    await ensureTopics(kafka, specs)
    assert.deepEqual(requests, [
      ['one', 'two'],
      ['one', 'two'],
    ])
  })

  it('are not asked for without end: the caller is told, and may try again', async () => {
    const { requests, kafka } = cluster(['unheard of'])
    await assert.rejects(ensureTopics(kafka, specs), { code: 'SP_BROKER_UNREACHABLE', retryable: true })
    assert.equal(requests.length, 2)
  })
})

describe('a question about a partition', () => {
  /** A broker that does not know yet, so many times, that it leads the partition. */
  function leaderAfter(times: number) {
    let asked = 0
    const admin = {
      connect: async () => {},
      disconnect: async () => {},
      async fetchTopicOffsets() {
        if (asked++ < times)
          throw Object.assign(new Error('not the leader'), { type: 'NOT_LEADER_FOR_PARTITION' })
        return [{ partition: 0, low: '3', high: '7' }]
      },
    }
    return { admin: () => admin } as unknown as kafkajs.Kafka
  }

  it('is asked again while its new leader does not know yet that it is', async () => {
    const bounds = await withAdmin(leaderAfter(2), admin => topicBounds(admin, ['t']))
    assert.deepEqual(bounds.get('t')?.get(0), { low: 3, high: 7 })
  })

  it('is given up in the end', async () => {
    const asking = withAdmin(leaderAfter(1_000), admin => topicBounds(admin, ['t']))
    await assert.rejects(asking, { code: 'SP_BROKER_UNREACHABLE' })
  }).timeout(10_000)
})
