/** Classes of kafkajs 2.2.4 that it does not export, as far as they are mended here. */
declare module 'kafkajs/src/consumer/runner.js' {
  export default class Runner {
    readonly running: boolean
    fetch(nodeId: number): Promise<unknown[]>
  }
}

declare module 'kafkajs/src/network/connection.js' {
  export default class Connection {
    /** What was read of an answer that is not there in full. */
    chunks: readonly Buffer[]
    bytesBuffered: number
    bytesNeeded: number
    isConnected(): boolean
    connect(): Promise<unknown>
  }
}
