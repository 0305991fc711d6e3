/**
 * Co-partitioned assignment: a member that gets partition p gets it of every subscribed topic, because one task
 * owns them together. Partitions stay where they were as far as the balance allows.
 */
import kafkajs from 'kafkajs'

const { AssignerProtocol } = kafkajs
const VERSION = 1

/** `owned` tells which partitions this member holds when it joins again. */
export function coPartitionedAssigner(owned: () => readonly number[]): kafkajs.PartitionAssigner {
  return ({ cluster }) => ({
    name: 'sallyport-co-partitioned',
    version: VERSION,
    async assign({ members, topics }) {
      // Every topic of the subscription has the same count; that was checked before the group was joined.
      const count = Math.min(...topics.map(topic => cluster.findTopicPartitionMetadata(topic).length))
      const claims = members.map(({ memberId, memberMetadata }) => ({
        memberId,
        owned: readOwned(AssignerProtocol.MemberMetadata.decode(memberMetadata)?.userData),
      }))
      return [...distribute(claims, count)].map(([memberId, partitions]) => ({
        memberId,
        memberAssignment: AssignerProtocol.MemberAssignment.encode({
          version: VERSION,
          assignment: Object.fromEntries(topics.map(topic => [topic, partitions])),
          userData: Buffer.alloc(0),
        }),
      }))
    },
    protocol({ topics }) {
      return {
        name: 'sallyport-co-partitioned',
        metadata: AssignerProtocol.MemberMetadata.encode({
          version: VERSION,
          topics,
          userData: Buffer.from(JSON.stringify(owned())),
        }),
      }
    },
  })
}

/** Deals `count` partitions to members: shares differ by at most one, and as few partitions move as that allows. */
export function distribute(
  members: readonly { readonly memberId: string; readonly owned: readonly number[] }[],
  count: number,
): Map<string, number[]> {
  const sorted = [...members].sort(
    (a, b) => b.owned.length - a.owned.length || (a.memberId < b.memberId ? -1 : 1),
  )
  const base = Math.floor(count / sorted.length)
  const larger = count % sorted.length
  const free = new Set(Array.from({ length: count }, (_, partition) => partition))
  const shares = sorted.map(({ memberId, owned }, i) => {
    const quota = base + (i < larger ? 1 : 0)
    const kept = [...new Set(owned)].filter(partition => free.has(partition)).slice(0, quota)
    for (const partition of kept) free.delete(partition)
    return { memberId, quota, partitions: kept }
  })
  const rest = [...free]
  for (const share of shares) share.partitions.push(...rest.splice(0, share.quota - share.partitions.length))
  return new Map(shares.map(({ memberId, partitions }) => [memberId, partitions.sort((a, b) => a - b)]))
}

function readOwned(userData: Buffer | undefined): number[] {
  try {
    const value: unknown = JSON.parse(String(userData ?? '[]'))
    return Array.isArray(value) ? value.filter(Number.isInteger) : []
  } catch {
    return []
  }
}
