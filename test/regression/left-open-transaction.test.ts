/**
 * A broker may leave records of a transaction open that its coordinator calls complete: the marker of a partition
 * without a leader is dropped (KAFKA-20734). The next transaction of the same producer ends them with its own result,
 * whatever the client. These tests make that happen with real brokers, and show that the next owner of the transactional
 * id ends them as it had been decided before it writes there (P13).
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { BrokerClock } from '@sallyport/core/clock'
import { ProducerCluster } from '@sallyport/core/kafka/transactions/producer-cluster'
import type { BatchPlace } from '@sallyport/core/kafka/transactions/requests'
import { TransactionalProducer } from '@sallyport/core/kafka/transactions/transactional-producer'
import { readEnded } from '../chaos/processor/topic-log.ts'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { coordinatorOf } from '../support/coordinator.ts'
import { rawAdmin, rawKafka } from '../support/raw-kafka.ts'

const SESSION_MS = 3_000
const COORDINATOR_TIMEOUT_MS = 60_000

describe('records that a broker left open', function () {
  this.timeout(180_000)
  let brokers: Cluster

  before(async () => {
    brokers = await startCluster({
      brokers: 3,
      withRegistry: false,
      properties: { 'broker.session.timeout.ms': String(SESSION_MS), 'broker.heartbeat.interval.ms': '500' },
    })
  })
  after(() => brokers?.stop())

  /** A topic of one partition with its replicas on these brokers, counted from 0. */
  async function topicOn(...replicas: number[]): Promise<string> {
    const topic = `sallyport.test-${randomBytes(5).toString('hex')}`
    const replicaAssignment = [{ partition: 0, replicas: replicas.map(broker => broker + 1) }]
    const topics = [{ topic, numPartitions: -1, replicationFactor: -1, replicaAssignment }]
    await rawAdmin(rawKafka(brokers.brokers), admin => admin.createTopics({ topics, waitForLeaders: false }))
    return topic
  }

  /** How the transaction of each key ended in a topic. */
  async function statesIn(topic: string): Promise<Record<string, string>> {
    const { records } = await readEnded(brokers.brokers, topic, 1)
    return Object.fromEntries(records.map(({ key, state }) => [key, state]))
  }

  function writes(key: string, ...topics: string[]) {
    return topics.map(topic => ({ topic, partition: 0, records: [{ key: Buffer.from(key), value: null }] }))
  }

  for (const version of [2, 1] as const) {
    describe(`with the protocol's version ${version}`, () => {
      let cluster: ProducerCluster
      let id: string
      let whole: string
      let alone: string
      let away: number
      let told: [readonly string[], string][]

      beforeEach(async () => {
        cluster = new ProducerCluster(brokers, 'test')
        if (version === 1) cluster.abilities = async () => ({ version: 1, describes: true })
        whole = await topicOn(0, 1, 2)
        id = `${whole}.owner`
        const { port } = await coordinatorOf(cluster, id, COORDINATOR_TIMEOUT_MS)
        away = brokers.brokers.findIndex(broker => !broker.endsWith(`:${port}`))
        alone = await topicOn(away)
        for (const topic of [whole, alone]) await until(topic, 'led')
        told = []
      })
      afterEach(() => cluster.close())

      async function until(topic: string, state: 'led' | 'leaderless'): Promise<void> {
        for (;;) {
          const isLed = cluster.leaderOf(topic, 0) !== undefined
          await cluster.refresh().catch(() => {})
          if (isLed === (state === 'led')) return
          await sleep(100)
        }
      }

      /** An owner; `looksBack`: it ends what it finds open, as tasks do. */
      async function open(looksBack: boolean) {
        const written: BatchPlace[] = [whole, alone].map(topic => ({ topic, partition: 0 }))
        return await TransactionalProducer.open(cluster, id, {
          transactionTimeoutMs: 30_000,
          clock: new BrokerClock(Date.now),
          ...(looksBack ? { written } : {}),
          endedLate: (places, end) => told.push([places, end]),
        })
      }

      async function transact(owner: TransactionalProducer, key: string, ...topics: string[]) {
        const written = writes(key, ...topics)
        await owner.begin(written)
        await owner.write(written)
        await owner.commit()
      }

      /** Writes to both topics in a transaction; then the one broker of `alone` is killed, and nobody leads it. */
      async function writeAndLoseLeader(owner: TransactionalProducer): Promise<void> {
        const written = writes('dead owner', whole, alone)
        await owner.begin(written)
        await owner.write(written)
        await brokers.kill(away)
        await until(alone, 'leaderless')
      }

      it('count, though they were aborted, when the next owner does not look back', async () => {
        // Timeline: an owner writes to both topics and dies; its successor's take-over aborts its transaction while `alone`
        // has no leader; the broker comes back, and the successor commits there. Proves: the schedule strikes.
        await writeAndLoseLeader(await open(false))
        const successor = await open(false)
        await brokers.restart(away)
        await transact(successor, 'successor', whole, alone)
        assert.deepEqual(await statesIn(whole), { 'dead owner': 'aborted', successor: 'committed' })
        assert.deepEqual(await statesIn(alone), { 'dead owner': 'committed', successor: 'committed' })
      })

      it('are aborted where their owner died: the next one waits for their partition, and for no other (P12, P13)', async () => {
        // Timeline: as above, and the successor commits elsewhere while the broker is away. Proves: what was aborted stays
        // so in both topics, and a partition without a leader holds nothing up that does not need it.
        await writeAndLoseLeader(await open(true))
        const successor = await open(true)
        await transact(successor, 'meanwhile', whole)
        await brokers.restart(away)
        await transact(successor, 'successor', whole, alone)
        const expected = { 'dead owner': 'aborted', successor: 'committed' }
        assert.deepEqual(await statesIn(whole), { ...expected, meanwhile: 'committed' })
        assert.deepEqual(await statesIn(alone), expected)
        assert.deepEqual(told, [[[`${alone}/0`], 'abort']])
      })

      it('are committed where their owner had committed, also if the next transaction is aborted (P13)', async () => {
        // Timeline: an owner writes to both topics, commits while `alone` has no leader, and dies; the broker comes back;
        // the successor writes to `alone` and gives up. Proves: what was committed stays so.
        const owner = await open(true)
        await writeAndLoseLeader(owner)
        await owner.commit()
        await brokers.restart(away)
        const successor = await open(true)
        const written = writes('successor', whole, alone)
        await successor.begin(written)
        await successor.write(written)
        await successor.close()
        await transact(await open(true), 'last', whole, alone)
        const expected = { 'dead owner': 'committed', successor: 'aborted', last: 'committed' }
        assert.deepEqual(await statesIn(whole), expected)
        assert.deepEqual(await statesIn(alone), expected)
        assert.deepEqual(told, [[[`${alone}/0`], 'commit']])
      })

      it('are aborted where their owner died, also if a take-over in between came to nothing (P13)', async () => {
        // Timeline: an owner writes to both topics and dies; its successor takes over while `alone` has no leader, and gives
        // up before it writes; the broker comes back; the same process takes over again. Proves: what it was told before
        // its first take-over is not forgotten, though the coordinator has.
        await writeAndLoseLeader(await open(true))
        await open(true)
        await brokers.restart(away)
        await until(alone, 'led')
        await transact(await open(true), 'successor', whole, alone)
        const expected = { 'dead owner': 'aborted', successor: 'committed' }
        assert.deepEqual(await statesIn(whole), expected)
        assert.deepEqual(await statesIn(alone), expected)
        assert.deepEqual(told, [[[`${alone}/0`], 'abort']])
      })

      // With version 1 the epochs of the two cannot be told apart (fate.ts).
      if (version === 2) {
        it('are committed where their owner had committed, also if it has aborted another transaction since (P13)', async () => {
          // Timeline: an owner commits while `alone` has no leader, and gives its next transaction up, which writes elsewhere;
          // the broker comes back; a successor takes over. Proves: the state of the id's last transaction says nothing of an
          // earlier one.
          const owner = await open(true)
          await writeAndLoseLeader(owner)
          await owner.commit()
          const given = writes('given up', whole)
          await owner.begin(given)
          await owner.write(given)
          await owner.close()
          await brokers.restart(away)
          await until(alone, 'led')
          await transact(await open(true), 'successor', whole, alone)
          const expected = { 'dead owner': 'committed', successor: 'committed' }
          assert.deepEqual(await statesIn(whole), { ...expected, 'given up': 'aborted' })
          assert.deepEqual(await statesIn(alone), expected)
          assert.deepEqual(told, [[[`${alone}/0`], 'commit']])
        })
      }
    })
  }
})
