/**
 * Loaded before the product (`node --import`): dies or freezes at a chosen step of the transaction recipe or of the
 * restore, or strikes a broker there. `CHAOS_FAULT` is `point:before|after:n:action`; the n-th time that the point is
 * passed counts. The action is `kill` or `freeze`, of this process or, as in `kill-coordinator` and `freeze-leader`, of
 * a broker that the transaction under way needs: `CHAOS_TARGETS` names the file that tells which that is. The
 * product's code knows nothing of it: the prototypes of its adapters are wrapped here.
 *
 * joined → connect → init → barrier → barrier-commit → checkpoint-open → restore-batch → acquire → start
 * → checkpoint-part* → (transact → begin → claims → retry | dead-letter | output → offsets → commit → checkpoint-save?)*
 * → leave
 */
import { writeSync } from 'node:fs'
import { GroupConsumer } from '@sallyport/core/kafka/group-consumer'
import { TaskProducer } from '@sallyport/core/kafka/task-producer'
import { TransactionalProducer } from '@sallyport/core/kafka/transactions/transactional-producer'
import { Acquisition } from '@sallyport/processor/acquisition'
import { Checkpoint } from '@sallyport/processor/checkpoint'
import { CheckpointFolder } from '@sallyport/processor/checkpoint-folder'
import { Membership } from '@sallyport/processor/membership'
import { Restore } from '@sallyport/processor/restore'
import { strikeBroker, type Target, type UnderWay } from './broker-strike.ts'

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
wrap(Acquisition.prototype, 'run', 'acquire')
wrap(CheckpointFolder.prototype, 'open', 'checkpoint-open')
wrap(Checkpoint.prototype, 'part', 'checkpoint-part')
wrap(Checkpoint.prototype, 'save', 'checkpoint-save')
wrap(Restore.prototype, 'offer', 'restore-batch')
wrap(GroupConsumer.prototype, 'readFrom', 'start')
wrap(GroupConsumer.prototype, 'stop', 'leave')
wrap(TaskProducer.prototype, 'transact', 'transact')

wrap(TaskProducer, 'open', 'connect')
wrap(TransactionalProducer, 'open', 'init')

const { begin, write, commitOffsets, commit } = TransactionalProducer.prototype
/** Producers that have committed their barrier. */
const owners = new WeakSet<TransactionalProducer>()
/** What the present transaction of each producer has written. */
const present = new WeakMap<TransactionalProducer, UnderWay & { written: string[] }>()

TransactionalProducer.prototype.begin = function (...args) {
  present.set(this, { transactionalId: this.transactionalId, written: [] })
  return owners.has(this) ? around('begin', () => begin.apply(this, args)) : begin.apply(this, args)
}
TransactionalProducer.prototype.write = function (writes) {
  const underWay = present.get(this)
  underWay?.written.push(...writes.map(({ topic, partition }) => `${topic}/${partition}`))
  const steps = owners.has(this) ? writes.map(({ topic }) => stepOf(topic)) : ['barrier']
  return [...new Set(steps)].reduceRight<() => ReturnType<typeof write>>(
    (inner, step) => () => around(step, inner, underWay),
    () => write.call(this, writes),
  )()
}
TransactionalProducer.prototype.commitOffsets = function (...args) {
  return around('offsets', () => commitOffsets.apply(this, args), present.get(this))
}
TransactionalProducer.prototype.commit = async function () {
  await around(owners.has(this) ? 'commit' : 'barrier-commit', () => commit.call(this), present.get(this))
  owners.add(this)
}

function stepOf(topic: string): string {
  if (topic.endsWith('.claims')) return 'claims'
  if (topic.includes('.retry.')) return 'retry'
  return topic.endsWith('.dead-letter') ? 'dead-letter' : 'output'
}
