/**
 * Loaded before the product (`node --import`): dies or freezes at a chosen step of the transaction recipe or of the
 * restore, or strikes a broker there. `CHAOS_FAULT` is `point:before|after:n:action`; the n-th time that the point is
 * passed counts. The action is `kill` or `freeze`, of this process or, as in `kill-coordinator` and `freeze-leader`, of
 * a broker that the transaction under way needs: `CHAOS_TARGETS` names the file that tells which that is. The
 * product's code knows nothing of it: the prototypes of its adapters are wrapped here. Each record of a transaction
 * gets its number as a header, by which the checker tells apart the transactions of one epoch.
 *
 * joined → connect → init → barrier → barrier-commit → checkpoint-open → restore-batch → acquire → start
 * → checkpoint-part* → (transact → begin → claims → retry | dead-letter | output → offsets → commit → checkpoint-save?)*
 * → leave
 */
import { writeSync } from 'node:fs'
import { GroupConsumer } from '@sallyport/core/kafka/group-consumer'
import { TaskProducer } from '@sallyport/core/kafka/task-producer'
import { Acquisition } from '@sallyport/processor/acquisition'
import { Checkpoint } from '@sallyport/processor/checkpoint'
import { CheckpointFolder } from '@sallyport/processor/checkpoint-folder'
import { Membership } from '@sallyport/processor/membership'
import { Restore } from '@sallyport/processor/restore'
import kafkajs from 'kafkajs'
import { strikeBroker, type Target, type UnderWay } from './broker-strike.ts'
import { TRANSACTION_HEADER } from './transactions.ts'

let transactions = 0
const [point, side, nth, deed = ''] = (process.env.CHAOS_FAULT ?? '').split(':')
const [action, target] = deed.split('-') as ['kill' | 'freeze', Target?]
let passed = 0
let hasStruck = false

function pass(name: string, at: 'before' | 'after', underWay?: UnderWay): void {
  if (name !== point || at !== side || ++passed < Number(nth) || hasStruck) return
  if (target !== undefined && underWay !== undefined) {
    const struck = strikeBroker(action, target, process.env.CHAOS_TARGETS as string, underWay)
    hasStruck = struck !== undefined
    if (hasStruck) writeSync(1, `#fault ${JSON.stringify(struck)}\n`)
    return
  }
  hasStruck = true
  writeSync(1, `#fault ${name}:${at}\n`)
  process.kill(process.pid, action === 'freeze' ? 'SIGSTOP' : 'SIGKILL')
}

async function around<T>(name: string, work: () => Promise<T>, underWay?: UnderWay): Promise<T> {
  pass(name, 'before', underWay)
  const result = await work()
  pass(name, 'after', underWay)
  return result
}

function wrap<T extends object, K extends keyof T>(owner: T, method: K, name: string): void {
  const original = owner[method] as (...args: unknown[]) => unknown
  owner[method] = function (this: unknown, ...args: unknown[]) {
    pass(name, 'before')
    const result = original.apply(this, args)
    if (!(result instanceof Promise)) {
      pass(name, 'after')
      return result
    }
    return result.then(value => {
      pass(name, 'after')
      return value
    })
  } as T[K]
}

wrap(Membership.prototype, 'joined', 'joined')
wrap(TaskProducer, 'connect', 'connect')
wrap(Acquisition.prototype, 'run', 'acquire')
wrap(CheckpointFolder.prototype, 'open', 'checkpoint-open')
wrap(Checkpoint.prototype, 'part', 'checkpoint-part')
wrap(Checkpoint.prototype, 'save', 'checkpoint-save')
wrap(Restore.prototype, 'offer', 'restore-batch')
wrap(GroupConsumer.prototype, 'readFrom', 'start')
wrap(GroupConsumer.prototype, 'stop', 'leave')
wrap(TaskProducer.prototype, 'transact', 'transact')

const createProducer = kafkajs.Kafka.prototype.producer
kafkajs.Kafka.prototype.producer = function (config) {
  const producer = createProducer.call(this, config)
  const begin = producer.transaction
  let first = true
  producer.transaction = async () => {
    const isBarrier = first
    first = false
    const transaction = await around(isBarrier ? 'init' : 'begin', begin)
    const number = `${process.pid}-${++transactions}`
    const written: string[] = []
    const underWay = { transactionalId: config?.transactionalId ?? '', written }
    return {
      ...transaction,
      send: record => {
        written.push(...record.messages.map(({ partition }) => `${record.topic}/${partition}`))
        const step = isBarrier ? 'barrier' : stepOf(record.topic)
        return around(step, () => transaction.send(numbered(record, number)), underWay)
      },
      sendOffsets: offsets => around('offsets', () => transaction.sendOffsets(offsets), underWay),
      commit: () => around(isBarrier ? 'barrier-commit' : 'commit', () => transaction.commit(), underWay),
    }
  }
  return producer
}

function numbered(record: kafkajs.ProducerRecord, number: string): kafkajs.ProducerRecord {
  const messages = record.messages.map(message => ({
    ...message,
    headers: { ...message.headers, [TRANSACTION_HEADER]: number },
  }))
  return { ...record, messages }
}

function stepOf(topic: string): string {
  if (topic.endsWith('.claims')) return 'claims'
  if (topic.includes('.retry.')) return 'retry'
  return topic.endsWith('.dead-letter') ? 'dead-letter' : 'output'
}
