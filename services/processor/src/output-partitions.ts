import type { Output } from './outputs.ts'

/** The distinct partitions that outputs go to. */
export class OutputPartitions {
  readonly #byTopic = new Map<string, Set<number>>()
  #size = 0

  get size(): number {
    return this.#size
  }

  has({ topic, partition }: Output): boolean {
    return this.#byTopic.get(topic)?.has(partition) === true
  }

  add({ topic, partition }: Output): void {
    let partitions = this.#byTopic.get(topic)
    if (partitions === undefined) {
      partitions = new Set()
      this.#byTopic.set(topic, partitions)
    }
    if (partitions.has(partition)) return
    partitions.add(partition)
    this.#size++
  }
}
