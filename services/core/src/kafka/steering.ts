/**
 * Says what a member of a group fetches. Between a crash and the next join kafkajs has no group and throws: what is said
 * then is dropped. Whoever steers sets everything at each GROUP_JOIN anyway.
 *
 * Source: kafkajs 2.2.4, `consumer/index.js` (`stop`): STOP is emitted in the same step that takes the group away.
 */
import type kafkajs from 'kafkajs'

export class Steering {
  readonly #consumer: kafkajs.Consumer
  #isMember = false

  /** Make it before you listen to GROUP_JOIN: listeners are called in their order. */
  constructor(consumer: kafkajs.Consumer) {
    this.#consumer = consumer
    consumer.on(consumer.events.GROUP_JOIN, () => {
      this.#isMember = true
    })
    consumer.on(consumer.events.STOP, () => {
      this.#isMember = false
    })
  }

  pause(places: kafkajs.TopicPartitions[]): void {
    if (this.#isMember) this.#consumer.pause(places)
  }

  resume(places: kafkajs.TopicPartitions[]): void {
    if (this.#isMember) this.#consumer.resume(places)
  }

  seek(topic: string, partition: number, offset: number): void {
    if (this.#isMember) this.#consumer.seek({ topic, partition, offset: String(offset) })
  }
}
