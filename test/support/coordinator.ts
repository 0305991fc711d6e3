/** Has no absolute value of its kind: Kafka takes 0 for it. */
const INT32_MIN = -(2 ** 31)

/** The partition of an internal topic whose leader coordinates a group or a transactional id. */
export function coordinatorPartition(id: string, partitions: number): number {
  let hash = 0
  for (let i = 0; i < id.length; i++) hash = (31 * hash + id.charCodeAt(i)) | 0
  return hash === INT32_MIN ? 0 : Math.abs(hash) % partitions
}
