/** Three brokers behind the proxy, and topics whose leaders are known. */
import { randomBytes } from 'node:crypto'
import { type Cluster, startCluster } from '../cluster.ts'
import { KafkaProxy } from '../kafka-proxy/kafka-proxy.ts'
import { coordinatorOf, rawAdmin, rawKafka } from '../raw-kafka.ts'
import { transactionCoordinator, untilLed } from './broker-facts.ts'

const BROKERS = 3

/** The topics of a task: its claims, and what else its transactions write to. */
export interface TornTopics {
  readonly groupId: string
  readonly claims: string
  readonly deadLetters: string
  readonly outputs: string
  readonly roles: Roles
}

/** Which broker does what for the task of partition 0; each is another one. */
export interface Roles {
  /** Leads claims/0 and outputs/1. */
  readonly claimsLeader: number
  /** Leads dead-letters/0 and outputs/0. */
  readonly otherLeader: number
  /** Coordinates its transactions. */
  readonly coordinator: number
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

/** Topics that no other course has, and coordinators that answer. */
export async function freshTopics({ cluster }: Site): Promise<TornTopics> {
  const groupId = `torn-${randomBytes(4).toString('hex')}`
  const kafka = rawKafka(cluster.brokers)
  await coordinatorOf(kafka, groupId)
  const coordinator = (await transactionCoordinator(cluster.brokers[0] as string, `${groupId}-0`)) - 1
  const claimsLeader = (coordinator + 1) % BROKERS
  const otherLeader = (coordinator + 2) % BROKERS
  const topics = {
    claims: `${groupId}.claims`,
    deadLetters: `${groupId}.dead-letters`,
    outputs: `${groupId}.outputs`,
  }
  const create = (topic: string, ...leaders: readonly number[]) => ({
    topic,
    replicaAssignment: leaders.map((leader, partition) => ({ partition, replicas: replicasFrom(leader) })),
  })
  await rawAdmin(kafka, admin =>
    admin.createTopics({
      topics: [
        create(topics.claims, claimsLeader),
        create(topics.deadLetters, otherLeader),
        create(topics.outputs, otherLeader, claimsLeader),
      ],
      // kafkajs asks one broker, and gives up if that one has not heard of them yet.
      waitForLeaders: false,
    }),
  )
  for (const broker of cluster.brokers) {
    await untilLed(broker, [topics.claims, topics.deadLetters, topics.outputs])
  }
  return { groupId, ...topics, roles: { claimsLeader, otherLeader, coordinator } }
}

/** Node ids, the leader's first; broker 0 is node 1. */
function replicasFrom(leader: number): number[] {
  return Array.from({ length: BROKERS }, (_, i) => ((leader + i) % BROKERS) + 1)
}
