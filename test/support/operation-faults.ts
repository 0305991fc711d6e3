/**
 * Loaded before the product: dies at a chosen step of an operation, see faults.ts.
 *
 * open → connect → take-up → (begin → lane → progress → commit)* → close
 */
import { AuditLog } from '@sallyport/core/audit-log'
import { OperationProducer } from '@sallyport/core/kafka/operation-producer'
import { TransactionalProducer } from '@sallyport/core/kafka/transactions/transactional-producer'
import { AUDIT_TOPIC } from '@sallyport/core/topics'
import { around } from './faults.ts'

let writes = 0

const { append } = AuditLog.prototype
AuditLog.prototype.append = function (record) {
  return around('open', () => append.call(this, record))
}

const { open } = OperationProducer
OperationProducer.open = (...args) => around('connect', () => open.apply(OperationProducer, args))

const { send, commit: note } = OperationProducer.prototype
/** Those that have sent something since their last note. */
const unnoted = new WeakSet<OperationProducer>()

OperationProducer.prototype.send = function (lanes) {
  unnoted.add(this)
  return send.call(this, lanes)
}
OperationProducer.prototype.commit = function (audit) {
  const name = unnoted.has(this) ? 'batch' : ++writes === 1 ? 'take-up' : 'close'
  unnoted.delete(this)
  return around(name, () => note.call(this, audit))
}

const { begin, write: writeRecords, commit } = TransactionalProducer.prototype
/** Producers whose transaction has sent to a lane. */
const sending = new WeakSet<TransactionalProducer>()

TransactionalProducer.prototype.begin = function (...args) {
  sending.delete(this)
  return around('begin', () => begin.apply(this, args))
}
TransactionalProducer.prototype.write = function (writes) {
  if (writes.length === 0) return writeRecords.call(this, writes)
  const isLane = writes.some(({ topic }) => topic !== AUDIT_TOPIC)
  if (isLane) sending.add(this)
  const name = isLane ? 'lane' : sending.has(this) ? 'progress' : 'note'
  return around(name, () => writeRecords.call(this, writes))
}
TransactionalProducer.prototype.commit = function () {
  return around(sending.has(this) ? 'commit' : 'commit-note', () => commit.call(this))
}
