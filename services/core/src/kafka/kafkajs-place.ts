/**
 * Which place a consumer has in its group, from one join to the next, and commits under just that place. kafkajs's own
 * commit is tried again after the next join: a member that was frozen would then write an old offset over what another
 * member has committed meanwhile.
 *
 * Source: kafkajs 2.2.4, `consumer/runner.js` (`commitOffsets`) and `consumer/offsetManager/index.js`, which is made anew
 * for each join and commits under that join's generation.
 */
import type kafkajs from 'kafkajs'
import ConsumerGroup, { type OffsetManager, type TopicOffsets } from 'kafkajs/src/consumer/consumerGroup.js'
import { filedByCluster } from './kafkajs-cluster.ts'

/** A member's place in its group. */
export interface Place {
  readonly memberId: string
  readonly generationId: number
  /** Rejects, and commits nothing, where the place is no longer held. */
  commit(topics: readonly TopicOffsets[]): Promise<void>
}

const keepers = new WeakMap<kafkajs.Cluster, PlaceKeeper>()

/** Knows the place of one consumer. */
export class PlaceKeeper {
  #group: ConsumerGroup | undefined

  /** An assigner for the consumer. */
  assigner(assigner: kafkajs.PartitionAssigner): kafkajs.PartitionAssigner {
    return filedByCluster(keepers, this, assigner)
  }

  joining(group: ConsumerGroup): void {
    this.#group = group
  }

  /** The place that the last join gave; undefined before the first. */
  get place(): Place | undefined {
    const manager: OffsetManager | null | undefined = this.#group?.offsetManager
    if (manager === undefined || manager === null) return undefined
    const { memberId, generationId } = manager
    return { memberId, generationId, commit: topics => manager.commitOffsets({ topics }) }
  }
}

/**
 * Whether a member kept its place over a join: nobody else can have had its partitions in between. A membership that
 * lapsed has another id afterwards; a generation that it knows nothing of may have given them away and back.
 */
export function isContinuous(before: Place, after: Place): boolean {
  return before.memberId === after.memberId && after.generationId <= before.generationId + 1
}

const { joinAndSync } = ConsumerGroup.prototype

ConsumerGroup.prototype.joinAndSync = async function () {
  keepers.get(this.cluster)?.joining(this)
  await joinAndSync.call(this)
}
