/**
 * Co-partitioned assignment: a member that gets partition p gets it of every subscribed topic, because one task
 * owns them together. Partitions stay where they were as far as the balance allows. Where some must go, each member says
 * which of its own go first.
 */
import './kafkajs-records.ts'
import kafkajs from 'kafkajs'

const { AssignerProtocol } = kafkajs
const VERSION = 1

/** What a member tells of itself, and hears of the others. */
export interface AssignerMember {
  /** The partitions that it holds when it joins again, those first that should move first. */
  owned(): readonly number[]
  /** Tells its process from others. */
  readonly process: string
  /** Its settings, as a text. */
  readonly settings: string
  /** Called where this member leads the group: the settings of all members. */
  onAssign(settings: readonly string[]): void
}

/**
 * Each member gets its partitions of the topics that it subscribed to itself: during a deployment the leader may know
 * other topics.
 */
export function coPartitionedAssigner(member: AssignerMember): kafkajs.PartitionAssigner {
  return ({ cluster }) => ({
    name: 'sallyport-co-partitioned',
    version: VERSION,
    async assign({ members, topics }) {
      // Every topic of the subscription has the same count; that was checked before the group was joined.
      const count = Math.min(...topics.map(topic => cluster.findTopicPartitionMetadata(topic).length))
      const told = members.map(({ memberId, memberMetadata }) => {
        const metadata = AssignerProtocol.MemberMetadata.decode(memberMetadata)
        return { memberId, topics: metadata?.topics ?? topics, ...readUserData(metadata?.userData) }
      })
      member.onAssign(told.map(({ settings }) => settings))
      const shares = distribute(told, count)
      return told.map(({ memberId, topics }) => ({
        memberId,
        memberAssignment: AssignerProtocol.MemberAssignment.encode({
          version: VERSION,
          assignment: Object.fromEntries(topics.map(topic => [topic, shares.get(memberId) ?? []])),
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
          userData: Buffer.from(
            JSON.stringify({ owned: member.owned(), settings: member.settings, process: member.process }),
          ),
        }),
      }
    },
  })
}

/**
 * In which order a member's partitions move, given the order in which it got them.
 *
 * - First those that it has acquired, the one that stayed longest first: a process that dies again and again soon after
 *   it has joined must not always get the same ones, which would then never come on.
 * - Then those that it is still acquiring, the latest first: what was read of their claims would be lost, and however
 *   often members come and go the one that has read for longest comes to its end.
 */
export function inOrderOfMoving(
  held: readonly number[],
  isAcquiring: (partition: number) => boolean,
): number[] {
  return [...held.filter(p => !isAcquiring(p)), ...held.filter(isAcquiring).reverse()]
}

/** The partitions of a new assignment, those first that were held before it. */
export function inOrderOfArrival(held: readonly number[], assigned: readonly number[]): number[] {
  return [...held.filter(p => assigned.includes(p)), ...assigned.filter(p => !held.includes(p))]
}

/**
 * Deals `count` partitions to members: shares differ by at most one, and as few partitions move as that allows. A
 * member's `owned` are in the order in which they should move.
 */
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
    const held = [...new Set(owned)].filter(partition => free.has(partition))
    const kept = held.slice(Math.max(0, held.length - quota))
    for (const partition of kept) free.delete(partition)
    return { memberId, quota, partitions: kept }
  })
  const rest = [...free]
  for (const share of shares) share.partitions.push(...rest.splice(0, share.quota - share.partitions.length))
  return new Map(shares.map(({ memberId, partitions }) => [memberId, partitions.sort((a, b) => a - b)]))
}

/** The process of a member, from what it told the group; undefined where it told none. */
export function processOf(memberMetadata: Buffer): string | undefined {
  const metadata = AssignerProtocol.MemberMetadata.decode(memberMetadata)
  return readUserData(metadata?.userData).process
}

interface Told {
  readonly owned: number[]
  readonly settings: string
  readonly process?: string
}

function readUserData(userData: Buffer | undefined): Told {
  try {
    const { owned, settings, process } = JSON.parse(String(userData)) as Record<keyof Told, unknown>
    return {
      owned: Array.isArray(owned) ? owned.filter(Number.isInteger) : [],
      settings: typeof settings === 'string' ? settings : '',
      ...(typeof process === 'string' ? { process } : {}),
    }
  } catch {
    return { owned: [], settings: '' }
  }
}
