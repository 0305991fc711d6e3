/**
 * Loaded before the product (`node --import`): dies while topics grow. `GROW_FAULT` is `write:n`, after the n-th
 * transaction on claims, or `grow:TOPIC`, before that topic grows. The product's code knows nothing of it.
 */
import { TaskProducer } from '@sallyport/core/kafka/task-producer'
import kafkajs from 'kafkajs'

let writes = 0

function pass(point: string): void {
  if (point === process.env.GROW_FAULT) process.kill(process.pid, 'SIGKILL')
}

const { transact } = TaskProducer.prototype
TaskProducer.prototype.transact = async function (...args) {
  const end = await transact.apply(this, args)
  pass(`write:${++writes}`)
  return end
}

const createAdmin = kafkajs.Kafka.prototype.admin
kafkajs.Kafka.prototype.admin = function (config) {
  const admin = createAdmin.call(this, config)
  const { createPartitions } = admin
  admin.createPartitions = options => {
    for (const { topic } of options.topicPartitions) pass(`grow:${topic}`)
    return createPartitions(options)
  }
  return admin
}
