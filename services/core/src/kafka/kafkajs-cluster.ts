import type kafkajs from 'kafkajs'

/**
 * Files a value under a consumer's cluster, by which the mended parts of kafkajs find it again: kafkajs shows a
 * consumer's parts to its assigners only. Gives the assigner to make the consumer with.
 */
export function filedByCluster<T>(
  values: WeakMap<kafkajs.Cluster, T>,
  value: T,
  assigner: kafkajs.PartitionAssigner,
): kafkajs.PartitionAssigner {
  return config => {
    values.set(config.cluster, value)
    return assigner(config)
  }
}
