/** Classes of kafkajs 2.2.4 that it does not export, as far as they are mended here. */
declare module 'kafkajs/src/consumer/consumerGroup.js' {
  import type { Broker, Cluster } from 'kafkajs'

  /** What holds between two joins. */
  export interface OffsetManager {
    readonly generationId: number
    readonly memberId: string
    /** Who gets the commits. */
    coordinator?: Broker
    getCoordinator(): Promise<Broker>
    commitOffsets(offsets: { readonly topics: readonly TopicOffsets[] }): Promise<void>
  }

  export interface TopicOffsets {
    readonly topic: string
    readonly partitions: readonly { readonly partition: number; readonly offset: string }[]
  }

  export interface OffsetOutOfRange extends Error {
    readonly topic: string
    readonly partition: number
  }

  export default class ConsumerGroup {
    readonly cluster: Cluster
    readonly groupId: string
    readonly leaderId: string
    /** Who gets the heartbeats. */
    coordinator: Broker
    /** How long the next fetch waits for a record, ms. */
    maxWaitTime: number
    readonly offsetManager: OffsetManager
    /** Those of which something is assigned. */
    readonly topics: readonly string[]
    readonly topicsSubscribed: readonly string[]
    /** Topic → partition → the follower that is read. */
    readonly preferredReadReplicasPerTopicPartition: Record<string, Record<number, unknown> | undefined>
    fetch(nodeId: number): Promise<unknown[]>
    joinAndSync(): Promise<void>
    heartbeat(options: { readonly interval: number }): Promise<void>
    /** Mends what can be mended after an error, joining again if need be; throws what is left. */
    recoverFromFetch(error: unknown): Promise<void>
    recoverFromOffsetOutOfRange(error: OffsetOutOfRange): Promise<void>
  }
}

declare module 'kafkajs/src/cluster/index.js' {
  import type { TopicOffsets } from 'kafkajs/src/consumer/consumerGroup.js'

  export interface WantedOffsets {
    readonly topic: string
    readonly partitions: readonly { readonly partition: number }[]
  }

  export default class Cluster {
    findTopicPartitionMetadata(
      topic: string,
    ): readonly { readonly partitionId: number; readonly leader: number }[]
    fetchTopicsOffset(wanted: readonly WantedOffsets[]): Promise<TopicOffsets[]>
  }
}

declare module 'kafkajs/src/cluster/brokerPool.js' {
  export default class BrokerPool {
    readonly metadata: {
      readonly topicMetadata: readonly {
        readonly partitionMetadata: readonly {
          readonly partitionErrorCode: number
          readonly leader: number
        }[]
      }[]
    } | null
    /** From when on it is asked for again, ms since the epoch. */
    metadataExpireAt: number | null
    refreshMetadata(topics: readonly string[]): Promise<void>
  }
}

declare module 'kafkajs/src/network/requestQueue/index.js' {
  /** A request that was sent, or waits to be. */
  export interface QueuedRequest {
    readonly sentAt: number
    readonly requestTimeout: number
    timeoutRequest(): void
  }

  export default class RequestQueue {
    readonly enforceRequestTimeout: boolean
    readonly requestTimeout: number
    readonly inflight: ReadonlyMap<number, QueuedRequest>
    readonly pending: readonly QueuedRequest[]
    /** Looks for what is overdue. */
    requestTimeoutIntervalId: NodeJS.Timeout | undefined
    isConnected(): boolean
    scheduleCheckPendingRequests(): void
    scheduleRequestTimeoutCheck(): void
    sendSocketRequest(request: QueuedRequest): void
    /** Ends its timers. */
    destroy(): void
  }
}

declare module 'kafkajs/src/consumer/runner.js' {
  export default class Runner {
    readonly running: boolean
    fetch(nodeId: number): Promise<unknown[]>
  }
}

declare module 'kafkajs/src/errors.js' {
  import { KafkaJSConnectionError, KafkaJSError, KafkaJSRequestTimeoutError } from 'kafkajs'

  export type RequestTimeout = KafkaJSRequestTimeoutError

  const errors: {
    readonly KafkaJSError: typeof KafkaJSError
    readonly KafkaJSConnectionError: typeof KafkaJSConnectionError
    readonly KafkaJSConnectionClosedError: new (
      message: string,
      broker: { readonly host: string; readonly port: number },
    ) => KafkaJSConnectionError & { readonly host: string; readonly port: number }
    readonly KafkaJSRequestTimeoutError: typeof KafkaJSRequestTimeoutError
  }
  export default errors
}

declare module 'kafkajs/src/network/connection.js' {
  import type { Socket } from 'node:net'

  export interface Question {
    readonly request: { readonly apiName: string }
  }

  export default class Connection {
    readonly host: string
    readonly port: number
    /** A new one each time that it is connected; none once it has disconnected. */
    socket: Socket | undefined
    connectionStatus: 'connected' | 'disconnecting' | 'disconnected'
    /** Who waits for an answer while the two sides authenticate. */
    readonly authHandlers: { onError(): void } | null
    readonly requestQueue: {
      /** Those that wait for an answer, in the order in which they were sent. */
      readonly inflight: ReadonlyMap<number, { readonly sentAt: number }>
      rejectAll(error: Error): void
      /** Ends its timers. */
      destroy(): void
    }
    /** What was read of an answer that is not there in full. */
    chunks: readonly Buffer[]
    bytesBuffered: number
    bytesNeeded: number
    isConnected(): boolean
    connect(): Promise<unknown>
    disconnect(): Promise<boolean>
    send(question: Question): Promise<unknown>
  }
}

declare module 'kafkajs/src/broker/index.js' {
  import type { FetchedPartition } from '@sallyport/core/kafka/kafkajs-aborted'

  export default class Broker {
    fetch(request: object): Promise<{ responses: readonly { partitions: readonly FetchedPartition[] }[] }>
  }
}

declare module 'kafkajs/src/consumer/filterAbortedMessages.js' {
  import type { FetchedMessage, FetchedPartition } from '@sallyport/core/kafka/kafkajs-aborted'

  export default function filter(partition: FetchedPartition): FetchedMessage[]
}
