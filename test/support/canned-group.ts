/** kafkajs's own consumer, as the only member of a group that reads partition 0 of topic `t`; the cluster is the test's. */
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs from 'kafkajs'

const require = createRequire(import.meta.url)
const createConsumer = require('kafkajs/src/consumer/index.js')

const silent = { namespace: () => silent, debug() {}, info() {}, warn() {}, error() {} }
const MEMBER = { leaderId: 'another', groupProtocol: '', members: [] }

export class CannedGroup {
  /** How many records the partition has; they have no value. */
  records = 0
  /** Offsets from which was fetched. */
  readonly fetches: number[] = []
  /** Whether heartbeats fail; the consumer then crashes. */
  isAway = false
  connected = false
  joins = 0
  /** What the next join gives. */
  memberId = 'm'
  generationId = 1
  /** The group's offset in partition 0, and all that were committed. */
  committed = '0'
  readonly commits: string[] = []
  /** Called before a heartbeat is answered: throws what is answered instead. */
  beating: () => void = () => {}
  /** Called before a join is answered: throws what is answered instead. */
  joining: () => Promise<void> | void = () => {}
  /** Called before a fetch is answered that finds no record: how long it should wait for one, ms. */
  waiting: (maxWaitMs: number) => Promise<void> | void = () => sleep(5)
  /** Called when the consumer disconnects, which waits for it. */
  disconnecting: () => Promise<void> | void = () => {}

  get kafka(): kafkajs.Kafka {
    return { consumer: (config: kafkajs.ConsumerConfig) => this.consumer(config) } as unknown as kafkajs.Kafka
  }

  consumer(config: kafkajs.ConsumerConfig): kafkajs.Consumer {
    const retry = { ...config.retry, initialRetryTime: 10, retries: 3 }
    return createConsumer({ ...config, retry, logger: silent, cluster: this.#cluster() })
  }

  #cluster() {
    const committed = {}
    const broker = {
      isConnected: () => true,
      joinGroup: async () => {
        this.joins++
        await this.joining()
        return { ...MEMBER, memberId: this.memberId, generationId: this.generationId }
      },
      syncGroup: async () => ({
        memberAssignment: kafkajs.AssignerProtocol.MemberAssignment.encode({
          version: 1,
          assignment: { t: [0] },
          userData: Buffer.alloc(0),
        }),
      }),
      offsetFetch: async () => ({
        responses: [{ topic: 't', partitions: [{ partition: 0, offset: this.committed }] }],
      }),
      offsetCommit: async ({ memberId, groupGenerationId, topics }: CommitRequest) => {
        // As a broker does.
        if (memberId !== this.memberId || groupGenerationId !== this.generationId)
          throw Object.assign(new Error('unknown'), { type: 'UNKNOWN_MEMBER_ID' })
        this.committed = String(topics[0]?.partitions[0]?.offset)
        this.commits.push(this.committed)
      },
      heartbeat: async () => {
        this.beating()
        if (this.isAway) throw new Error('no broker')
      },
      leaveGroup: async () => {},
      fetch: (request: FetchRequest) => this.#fetch(request),
    }
    return {
      connect: async () => {
        this.connected = true
      },
      disconnect: async () => {
        this.connected = false
        await this.disconnecting()
      },
      addMultipleTargetTopics: async () => {},
      refreshMetadata: async () => {},
      refreshMetadataIfNecessary: async () => {},
      findTopicPartitionMetadata: () => [{ partitionId: 0, leader: 1 }],
      getNodeIds: () => [1],
      findBroker: async () => broker,
      // Connects where it must, as kafkajs does.
      findGroupCoordinator: async () => {
        this.connected = true
        return broker
      },
      committedOffsets: () => committed,
    }
  }

  async #fetch({ topics, maxWaitTime }: FetchRequest) {
    const from = Number(topics[0]?.partitions[0]?.fetchOffset)
    this.fetches.push(from)
    if (from >= this.records) await this.waiting(maxWaitTime)
    const messages = Array.from({ length: Math.max(0, this.records - from) }, (_, i) => ({
      offset: String(from + i),
      timestamp: '0',
      key: Buffer.from('k'),
      value: null,
      headers: {},
      isControlRecord: false,
    }))
    const partition = { partition: 0, highWatermark: String(this.records), messages }
    return { responses: [{ topicName: 't', partitions: [partition] }] }
  }
}

interface CommitRequest {
  readonly memberId: string
  readonly groupGenerationId: number
  readonly topics: readonly { readonly partitions: readonly { readonly offset: unknown }[] }[]
}

interface FetchRequest {
  readonly maxWaitTime: number
  readonly topics: readonly { readonly partitions: readonly { readonly fetchOffset: string }[] }[]
}
