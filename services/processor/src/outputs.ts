import { type AvroSchema, encodeWire } from '@sallyport/core/codec'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { partitionOf } from '@sallyport/core/partition'

/** A record that a handler emitted, encoded. */
export interface Output {
  readonly topic: string
  readonly partition: number
  readonly key: Buffer
  readonly value: Buffer
  /** Full name of the value's schema; the CloudEvents type. */
  readonly type: string
}

export interface OutputTopic {
  readonly schemaId: number
  readonly schema: AvroSchema
}

/** What handlers may emit. */
export interface OutputLimits {
  /** Bytes of one record's key and value. */
  readonly recordBytesMax: number
  /** Bytes that one attempt emits in all. */
  readonly emitBytesMax: number
  /** Distinct partitions that one transaction writes outputs to, and so one attempt. */
  readonly transactionPartitionsMax: number
}

/** What an output counts for beside its key and value: headers, and the object in memory. */
const OUTPUT_OVERHEAD_BYTES = 256

/** What an output in memory counts for, bytes. */
export function outputBytes({ key, value }: Output): number {
  return key.length + value.length + OUTPUT_OVERHEAD_BYTES
}

/** Encodes what handlers emit; knows the topics that the processor declared. */
export class OutputEncoder {
  readonly #topics: ReadonlyMap<string, OutputTopic>
  readonly #partitions: number
  readonly limits: OutputLimits

  constructor(topics: ReadonlyMap<string, OutputTopic>, partitions: number, limits: OutputLimits) {
    this.#topics = topics
    this.#partitions = partitions
    this.limits = limits
  }

  /** Throws `SP_EMIT` when the topic is not declared, the value does not fit its schema, or it is too large. */
  encode(topic: string, value: unknown, key: string): Output {
    const output = this.#topics.get(topic)
    if (output === undefined) {
      const have = [...this.#topics.keys()].join(', ') || 'none'
      throw new SallyportError(
        'SP_EMIT',
        `${topic} is no output of this processor (${have}): name it under outputs with its schema`,
      )
    }
    let wire: Buffer
    try {
      wire = encodeWire(output.schemaId, output.schema.type, value)
    } catch (error) {
      throw new SallyportError(
        'SP_EMIT',
        `the value for ${topic} does not fit ${output.schema.name}: ${errorMessage(error)}`,
        {
          cause: error,
        },
      )
    }
    const keyBytes = Buffer.from(key)
    const bytes = wire.length + keyBytes.length
    if (bytes > this.limits.recordBytesMax) {
      throw new SallyportError(
        'SP_EMIT',
        `key and value for ${topic} have ${bytes} bytes, more than ${this.limits.recordBytesMax}: emit less, or a reference to it`,
      )
    }
    return {
      topic,
      partition: partitionOf(keyBytes, this.#partitions),
      key: keyBytes,
      value: wire,
      type: output.schema.name,
    }
  }
}
