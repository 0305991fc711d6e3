/** Three brokers behind the proxy, and topics whose leaders are known. */
import { randomBytes } from 'node:crypto'
import { type Cluster, startCluster } from '../cluster.ts'
import { KafkaProxy } from '../kafka-proxy/kafka-proxy.ts'
import { coordinatorOf, rawAdmin, rawKafka } from '../raw-kafka.ts'

const BROKERS = 3

/** The topics of a task: its claims, and what else its transactions write to. */
export interface TornTopics {
  /** Led by broker 0. */
  readonly claims: string
  /** Led by broker 1. */
  readonly deadLetters: string
  /** Partition 0 is led by broker 1, partition 1 by broker 0. */
  readonly outputs: string
}

export interface Site {
  readonly cluster: Cluster
  readonly proxy: KafkaProxy
  stop(): Promise<void>
}

/** Starts three brokers whose clients, and which themselves, talk through a proxy. */
export async function startSite(transactionVersion: 1 | 2): Promise<Site> {
  const proxy = await KafkaProxy.start(BROKERS, { betweenBrokers: true })
  const cluster = await startCluster({
    brokers: BROKERS,
    moreListeners: proxy.listeners,
    withRegistry: false,
    transactionVersion,
    properties: { 'transaction.abort.timed.out.transaction.cleanup.interval.ms': '500' },
  })
  return {
    cluster,
    proxy,
    async stop() {
      await cluster.stop()
      await proxy.stop()
    },
  }
}

/** Topics that no other course has, and a group of that name that has a coordinator. */
export async function freshTopics({ cluster }: Site): Promise<TornTopics & { readonly groupId: string }> {
  const groupId = `torn-${randomBytes(4).toString('hex')}`
  const topics = {
    claims: `${groupId}.claims`,
    deadLetters: `${groupId}.dead-letters`,
    outputs: `${groupId}.outputs`,
  }
  const kafka = rawKafka(cluster.brokers)
  const create = (topic: string, ...leaders: readonly number[]) => ({
    topic,
    replicaAssignment: leaders.map((leader, partition) => ({ partition, replicas: replicasFrom(leader) })),
  })
  await rawAdmin(kafka, admin =>
    admin.createTopics({
      topics: [create(topics.claims, 0), create(topics.deadLetters, 1), create(topics.outputs, 1, 0)],
      waitForLeaders: true,
    }),
  )
  await coordinatorOf(kafka, groupId)
  return { ...topics, groupId }
}

/** Node ids, the leader's first; broker 0 is node 1. */
function replicasFrom(leader: number): number[] {
  return Array.from({ length: BROKERS }, (_, i) => ((leader + i) % BROKERS) + 1)
}
