/**
 * Loaded before the product: dies at a chosen step of an operation, see faults.ts.
 *
 * open → connect → take-up → (begin → lane → progress → commit)* → close
 */
import { AuditLog } from '@sallyport/core/audit-log'
import { OperationProducer } from '@sallyport/core/kafka/operation-producer'
import { AUDIT_TOPIC } from '@sallyport/core/topics'
import kafkajs from 'kafkajs'
import { around } from './faults.ts'

let writes = 0

const { append } = AuditLog.prototype
AuditLog.prototype.append = function (record) {
  return around('open', () => append.call(this, record))
}

const { connect } = OperationProducer
OperationProducer.connect = (...args) => around('connect', () => connect.apply(OperationProducer, args))

const { write } = OperationProducer.prototype
OperationProducer.prototype.write = function (lanes, audit) {
  const name = lanes.length > 0 ? 'batch' : ++writes === 1 ? 'take-up' : 'close'
  return around(name, () => write.call(this, lanes, audit))
}

const createProducer = kafkajs.Kafka.prototype.producer
kafkajs.Kafka.prototype.producer = function (config) {
  const producer = createProducer.call(this, config)
  const begin = producer.transaction
  producer.transaction = async () => {
    const transaction = await around('begin', begin)
    let hasLane = false
    return {
      ...transaction,
      send: record => {
        const isLane = record.topic !== AUDIT_TOPIC
        hasLane ||= isLane
        const name = isLane ? 'lane' : hasLane ? 'progress' : 'note'
        return around(name, () => transaction.send(record))
      },
      commit: () => around(hasLane ? 'commit' : 'commit-note', () => transaction.commit()),
    }
  }
  return producer
}
